"""The stage `variant`: one approach trained once more with one change, in addition to the pipeline.

The stages that the change touches run again in a folder of their own, laid out as a project; of what they make, only the scores
of the test images are kept. An interrupted training continues: its state is at the project's root.
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

from fakeface.core.errors import UserError, printable
from fakeface.core.files import root, write_csv, write_json, write_text
from fakeface.core.params import APPROACHES, NAMED_WEIGHTS, Params
from fakeface.detector.device import configure
from fakeface.detector.predictor import Predictor
from fakeface.images.generators import to_leave_out
from fakeface.images.rows import PIECE
from fakeface.images.store import UNUSED, Dataset


def train_variant(params: Params, approach: str, change: str) -> None:
    """Trains `approach` under `change`: `seed-<n>`, another base.seed on the same split; `leak`, split.group_by: none;
    `without-<generator>`, on the images of the others alone; `without-all`, the same for each generator in turn.

    Raises:
        UserError: no such approach, change or generator, or a signal ended one of the stages.
        SystemExit: one of them failed, and has said why.
    """
    if approach not in APPROACHES:
        raise UserError(f"{approach}: no such approach; allowed here: {', '.join(APPROACHES)}")
    values = params.model_dump()
    kind, _, what = change.partition("-")
    table: pd.DataFrame
    metrics: dict[str, Any] = {}
    if kind == "without" and what:
        dataset = Dataset.open()
        names = to_leave_out([what], dataset.generators, values["split"]["data"])
        reduced = {name: without(dataset, name) for name in names}  # a fault of the last before the first is trained
        tables = {}
        for name, manifest in reduced.items():
            tables[name], metrics[name] = _train(params, values, approach, change, name, manifest=manifest)
        table = pd.concat(found.assign(without=name) for name, found in tables.items())
    elif kind == "seed" and what.isdecimal():
        values["base"]["seed"] = int(what)
        table, metrics = _train(params, values, approach, change)
    elif change == "leak":
        values["split"]["group_by"] = "none"
        table, metrics = _train(params, values, approach, change, own_split=True)
    else:
        raise UserError(
            f"{change}: no such change; allowed here: seed-<number>, leak, without-<generator>, without-all"
        )
    out = Path("reports/evaluate/variants", approach, change)
    write_csv(out / "predictions.csv", table)
    write_json(out / "metrics.json", metrics)


def _train(
    params: Params,
    values: dict[str, Any],
    approach: str,
    change: str,
    generator: str = "",
    *,
    own_split: bool = False,
    manifest: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Scores of the test images, and figures, of one training with the parameters `values`.

    Args:
        manifest: of the pipeline's pixel store, in place of its own, which leaves out `generator`.
    """
    features = _needs_features(approach)
    stages = ["split"] * own_split + ["features"] * (features and manifest is None) + [f"train_{approach}"]
    said = printable(f"without {generator}" if generator else change)
    folder = Path(".fakeface", "variants", f"{approach}-{change}")  # ignored by git and DVC
    _lay_out(folder, values, own_split=own_split, manifest=manifest)
    if features and manifest is not None:
        _keep_features(folder, manifest)
    for name in stages:
        print(f"{name}, {said}", flush=True)
        _run_stage(name, folder, said)
    base = params.base
    compute = configure(base.seed, base.threads, base.device, base.precision)
    predictor = Predictor.load(folder / "models" / approach, compute)
    table = score_test_images(predictor, Dataset.open(folder / "data" / "split"))
    threshold = round(predictor.card["threshold"], 6)  # as the scores are
    accuracy = round(float(balanced_accuracy_score(table["label"], table["score"] >= threshold)), 6)
    metrics = {"balanced_accuracy_at_threshold": accuracy, "threshold": threshold}
    metrics["val_accuracy"] = predictor.card["metrics"]["val_accuracy"]
    shutil.rmtree(folder)
    print(f"{approach}, {said}: {100 * accuracy:.1f} % balanced accuracy on test")
    return table, metrics


def without(dataset: Dataset, generator: str) -> pd.DataFrame:
    """The manifest with the generator's images in train and val unused. Its test images stay, and so do the photos in train
    that its fakes were made from: they are photos like any other.

    Raises:
        UserError: train, val or what it is tested on has no fake then.
    """
    manifest, own = dataset.manifest, dataset.generators == generator
    gone = own & manifest["split"].isin(["train", "val"]).to_numpy()
    reduced = manifest.assign(split=manifest["split"].mask(gone, UNUSED))
    fakes = {name: ((reduced["split"] == name) & (reduced["label"] == 1)).sum() for name in ("train", "val")}
    fakes["test"] = (own & (reduced["split"] == "test")).sum()
    for name, count in fakes.items():
        if not count:
            what = f"{generator} has no image" if name == "test" else f"without {generator} no fake is left"
            raise UserError(
                f"evaluate.leave_out: {printable(what)} in {name}; give it more images, or leave out others"
            )
    return reduced


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


def _lay_out(folder: Path, values: dict[str, Any], *, own_split: bool, manifest: pd.DataFrame | None) -> None:
    """An empty project: params.yaml without tracking or variants and with absolute paths, and the pipeline's own split, or its
    pixels with another manifest."""
    shutil.rmtree(folder, ignore_errors=True)
    values["base"]["tracking"] = False
    values["evaluate"] |= {
        "seeds": [],
        "leak": [],
        "leave_out": [],
    }  # the variant's own seed and split would contradict them
    values["split"]["data"] = str(Path(values["split"]["data"]).absolute())
    for section in values.values():
        if section.get("weights", "none") not in NAMED_WEIGHTS:
            section["weights"] = str(Path(section["weights"]).absolute())
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(values, text)
    write_text(folder / "params.yaml", text.getvalue())
    (folder / "data").mkdir()
    if manifest is not None:
        write_csv(folder / "data" / "split" / "manifest.csv", manifest)
        for file in Path("data/split").absolute().iterdir():
            if file.name != "manifest.csv":
                (folder / "data" / "split" / file.name).symlink_to(file)
    elif not own_split:
        (folder / "data" / "split").symlink_to(Path("data/split").absolute())


def _keep_features(folder: Path, manifest: pd.DataFrame) -> None:
    """The pipeline's features, of the images that `manifest` still has in train and val: nothing is computed again."""
    full, out = Dataset.open(), folder / "data" / "features"
    out.mkdir()
    for name, views in full.features().items():
        kept = (manifest.loc[full.rows(name), "split"] == name).to_numpy()
        rows = np.flatnonzero(kept)
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(views), len(rows), views[0].shape[1])}
        with open(out / f"{name}.npy", "wb") as file:  # a piece at a time: all of them may be more than the memory
            np.lib.format.write_array_header_1_0(file, header)
            for view in views:
                for start in range(0, len(rows), PIECE):
                    file.write(view[rows[start : start + PIECE]].tobytes())
    write_text(out / "data_hash.txt", Dataset.open(folder / "data" / "split").data_hash + "\n")


def _run_stage(name: str, folder: Path, what: str) -> None:
    """Runs a stage in `folder`, which says itself what goes wrong; it is killed where this process is stopped."""
    code = [str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])]
    # DVC_STAGE: then it also ends, by itself, when this process is killed and can end nothing
    environ = os.environ | {"DVC_ROOT": str(root()), "DVC_STAGE": name, "PYTHONPATH": os.pathsep.join(code)}
    ended = subprocess.run([sys.executable, "-m", f"stages.{name}"], cwd=folder, env=environ).returncode
    if ended < 0:
        raise UserError(f"{name}, {what}: was terminated by signal {-ended}")
    if ended:
        sys.exit(ended)
