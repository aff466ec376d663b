"""The stage `variant`: one approach trained once more under one change, beside the pipeline.

The stages that the change touches run again in a folder of their own, laid out as a project; of what they make, only the scores
of the test images are kept. An interrupted training goes on: its state lies at the project's root.
"""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML
from sklearn.metrics import balanced_accuracy_score

from fakeface.core.errors import UserError
from fakeface.core.files import root, write_csv, write_json, write_text
from fakeface.core.params import APPROACHES, NAMED_WEIGHTS, Params
from fakeface.detector.device import configure
from fakeface.detector.predictor import Predictor
from fakeface.images.store import Dataset


def train_variant(params: Params, approach: str, change: str) -> None:
    """Trains `approach` under `change`: `seed-<n>`, another base.seed on the same split; `leak`, split.group_by: none.

    Raises:
        UserError: no such approach or change, or a signal ended one of the stages.
        SystemExit: one of them failed, and has said why.
    """
    if approach not in APPROACHES:
        raise UserError(f"{approach}: no such approach; allowed here: {', '.join(APPROACHES)}")
    values, stages = params.model_dump(), []
    kind, _, number = change.partition("-")
    if kind == "seed" and number.isdecimal():
        values["base"]["seed"] = int(number)
    elif change == "leak":
        values["split"]["group_by"] = "none"
        stages.append("split")
    else:
        raise UserError(f"{change}: no such change; allowed here: seed-<number>, leak")
    if _needs_features(approach):
        stages.append("features")
    folder = Path(".fakeface", "variants", f"{approach}-{change}")  # ignored by git and DVC
    _lay_out(folder, values, own_split="split" in stages)
    for name in (*stages, f"train_{approach}"):
        print(f"{name}, {change}", flush=True)
        _run_stage(name, folder, change)

    base = params.base
    compute = configure(base.seed, base.threads, base.device, base.precision)
    dataset = Dataset.open(folder / "data" / "split")
    predictor = Predictor.load(folder / "models" / approach, compute)
    table = score_test_images(predictor, dataset)
    threshold = round(predictor.card["threshold"], 6)  # as the scores are
    accuracy = round(float(balanced_accuracy_score(table["label"], table["score"] >= threshold)), 6)
    metrics = {"balanced_accuracy_at_threshold": accuracy, "threshold": threshold}
    metrics["val_accuracy"] = predictor.card["metrics"]["val_accuracy"]
    out = Path("reports/evaluate/variants", approach, change)
    write_csv(out / "predictions.csv", table)
    write_json(out / "metrics.json", metrics)
    shutil.rmtree(folder)
    print(f"{approach}, {change}: {100 * accuracy:.1f} % balanced accuracy on test")


def score_test_images(predictor: Predictor, dataset: Dataset) -> pd.DataFrame:
    """The test images, in the manifest's order: path, label, source, in_train (the photo has an image there), score."""
    # with val, as the stage evaluate does: in other batches the last bits would be others
    rows = np.concatenate([dataset.rows("val"), dataset.rows("test")])
    scores = predictor.scores(dataset.pixels, rows)[len(dataset.rows("val")) :]
    table = dataset.manifest.loc[dataset.rows("test"), ["path", "label", "source"]]
    trained_on = dataset.manifest.loc[dataset.rows("train"), "source"]
    in_train = table["source"].isin(trained_on)
    return table.assign(in_train=in_train, score=np.round(scores, 6)).reset_index(drop=True)


def _needs_features(approach: str) -> bool:
    stages = YAML(typ="safe", pure=True).load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return "data/features" in stages[f"train_{approach}"]["deps"]


def _lay_out(folder: Path, values: dict[str, Any], *, own_split: bool) -> None:
    """An empty project: params.yaml without tracking or variants and with absolute paths, and the pipeline's own split."""
    shutil.rmtree(folder, ignore_errors=True)
    values["base"]["tracking"] = False
    values["evaluate"] |= {"seeds": [], "leak": []}  # the variant's own seed and split would contradict them
    values["split"]["data"] = str(Path(values["split"]["data"]).absolute())
    for section in values.values():
        if section.get("weights", "none") not in NAMED_WEIGHTS:
            section["weights"] = str(Path(section["weights"]).absolute())
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(values, text)
    write_text(folder / "params.yaml", text.getvalue())
    (folder / "data").mkdir()
    if not own_split:
        (folder / "data" / "split").symlink_to(Path("data/split").absolute())


def _run_stage(name: str, folder: Path, what: str) -> None:
    """Runs a stage in `folder`, which says itself what goes wrong; it is killed where this process is stopped."""
    code = [str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])]
    # DVC_STAGE: then it also ends, by itself, when this process is killed and can end nothing
    environ = os.environ | {"DVC_ROOT": str(root()), "DVC_STAGE": name, "PYTHONPATH": os.pathsep.join(code)}
    ended = subprocess.run([sys.executable, "-m", f"stages.{name}"], cwd=folder, env=environ).returncode
    if ended < 0:
        raise UserError(f"{name}, {what}: was ended by signal {-ended}")
    if ended:
        sys.exit(ended)
