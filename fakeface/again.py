"""Trains approaches again under other parameters, beside the pipeline: the same stages, run in a folder of their own.

The folder, `.fakeface/again/<key>/` at the project's root, is laid out as a project: params.yaml, data, models. Its key names
all that the result rests on: what an interrupted run left there is gone on with, and nothing else ever finds it.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from ruamel.yaml import YAML

import fakeface
from fakeface.data.store import Dataset
from fakeface.errors import UserError
from fakeface.evaluation.predictor import Predictor
from fakeface.files import sha256, write_text
from fakeface.params import APPROACHES, Params
from fakeface.tracking import store
from fakeface.training.device import Compute

KEEP_DAYS = 14  # folders that nobody went on with
STOP_SECONDS = 20  # for a stage to tidy up
ON_FEATURES = {"extractor"}  # approaches that train on data/features
OUTPUTS = {"split": "data/split", "features": "data/features"} | {
    f"train_{name}": f"models/{name}" for name in APPROACHES
}


@contextmanager
def trained_again(
    section: str,
    key: str,
    value: Any,
    params: Params,
    approaches: Collection[str],
    runs: Sequence[str],
    dataset: Dataset,
    compute: Compute,
) -> Iterator[Path]:
    """Yields a folder with `data/split` and `models/<approach>`, trained with another value of a parameter, all else as it is.

    What an interrupted run has finished is not run again.

    The folder is deleted when the block ends well, so what rests on it is to be written inside the block.

    Args:
        section, key, value: what is other than in `params`.
        runs: the stages that may be run, in their order. dvc.yaml declares what they rest on, and a test compares.
        dataset: the pipeline's own split; trained on, unless `runs` has the stage split.

    Raises:
        UserError: one of the stages failed; with its own reason.
    """
    root = store.root() / ".fakeface" / "again"
    values, what = _values(params), f"{section}.{key} {value}"
    values[section][key] = value
    folder = root / _key(values, runs, dataset, compute)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):  # experiments that run side by side may share it
        _lay_out(folder, values, None if "split" in runs else dataset.folder)
        for name in runs:
            # outputs appear whole: what is there is finished
            if _leads_to(approaches, name) and not (folder / OUTPUTS[name]).exists():
                print(f"{name} again, {what}", flush=True)
                _run_stage(name, folder, what)
        yield folder
        shutil.rmtree(folder)
        _forget(root)


def score_test_images(predictor: Predictor, dataset: Dataset) -> pd.DataFrame:
    """The test images, in the manifest's order: path, label, source, in_train (the photo has an image there), score."""
    # with val, as the stage evaluate does: in other batches the last bits would be others
    rows = np.concatenate([dataset.rows("val"), dataset.rows("test")])
    scores = predictor.scores(dataset.pixels, rows)[len(dataset.rows("val")) :]
    table = dataset.manifest.loc[dataset.rows("test"), ["path", "label", "source"]]
    trained_on = dataset.manifest.loc[dataset.rows("train"), "source"]
    return table.assign(in_train=table["source"].isin(trained_on), score=scores).reset_index(drop=True)


def _leads_to(approaches: Collection[str], stage: str) -> bool:
    if stage == "features":
        return not ON_FEATURES.isdisjoint(approaches)
    return stage == "split" or stage.removeprefix("train_") in approaches


def _values(params: Params) -> dict[str, Any]:
    """params.yaml of a repetition: no tracking, no repetition in the repetition, and paths that hold from any folder."""
    values = params.model_dump()
    values["base"]["tracking"] = False
    values["evaluate"] |= {"seeds": 1, "leak": []}
    values["split"]["data"] = str(Path(params.split.data).absolute())
    for section in values.values():
        if section.get("weights", "none") not in ("imagenet", "none"):
            section["weights"] = str(Path(section["weights"]).absolute())
    return values


def _key(values: dict[str, Any], runs: Sequence[str], dataset: Dataset, compute: Compute) -> str:
    """Hex digest of the parameters that the stages read, the data, the weights files, the machine, and all code."""
    sections = {name: dict(values[name]) for name in ("base", *runs)}
    for section in sections.values():
        section.pop("data", None)  # where the images lie; which they are, the manifest says
        weights = Path(section.get("weights", ""))
        if weights.is_file():
            section["weights"] = sha256(weights)
    facts = [sections, list(runs), dataset.data_hash, compute.describe()]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    package = Path(fakeface.__file__).parent
    for path in [*sorted(package.rglob("*.py")), *(Path("stages", f"{name}.py") for name in runs)]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:32]


def _lay_out(folder: Path, values: dict[str, Any], split: Path | None) -> None:
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(values, text)
    write_text(folder / "params.yaml", text.getvalue())
    (folder / "data").mkdir(exist_ok=True)
    if split is not None:
        link = folder / "data" / "split"
        link.unlink(missing_ok=True)  # it may lead into an experiment's folder that is gone
        link.symlink_to(split.absolute())


def _run_stage(name: str, folder: Path, what: str) -> None:
    """Runs a stage in `folder` and ends it when this process is ended; its notes are passed on, its error is raised."""
    code = [str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])]
    # DVC_STAGE: then it also ends, by itself, when this process is killed and can end nothing
    environ = os.environ | {"DVC_ROOT": str(store.root()), "DVC_STAGE": name, "PYTHONPATH": os.pathsep.join(code)}
    command = [sys.executable, "-m", f"stages.{name}"]
    said = ""
    with subprocess.Popen(
        command, cwd=folder, env=environ, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        try:
            for line in process.stderr or ():
                if line.startswith("error: "):
                    said = line.removeprefix("error: ").strip()
                else:
                    print(line, end="", file=sys.stderr, flush=True)
            process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_SECONDS)
                process.kill()
    if process.returncode:
        ended = f"signal {-process.returncode}" if process.returncode < 0 else f"exit code {process.returncode}"
        raise UserError(f"{name} again, {what}: {said or f'ended with {ended}'}")


def _forget(root: Path) -> None:
    """Clears away what is old: locks, and folders of repetitions that nobody came back for."""
    for old in root.iterdir():
        with suppress(FileNotFoundError):  # another one may be clearing up as well
            if old.stat().st_mtime < time.time() - KEEP_DAYS * 86400:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
