"""The stage `extra`: one further test folder through all detectors; nothing is trained."""

import tempfile
from pathlib import Path

import numpy as np

from fakeface.core.errors import UserError, printable
from fakeface.core.files import write_csv, write_text
from fakeface.core.params import APPROACHES, Params
from fakeface.detector.device import configure
from fakeface.detector.predictor import load_all
from fakeface.images.store import Dataset
from fakeface.scoring.folders import sub_folders
from fakeface.scoring.summary import summarise
from fakeface.split.extra import find_extra, read_extra, seen_in_training


def score_extra_set(params: Params, name: str) -> None:
    base, split, p = params.base, params.split, params.evaluate
    if name not in p.extra_sets:
        raise UserError(f"params.yaml: evaluate.extra_sets has no {name!r}; it has {', '.join(p.extra_sets) or 'none'}")
    folder = p.extra_sets[name]
    found = find_extra(name, folder, split.real, split.fake)
    compute = configure(base.seed, base.threads, base.device, base.precision)
    dataset = Dataset.open()
    scratch = Path(".fakeface")  # ignored by git and DVC; the pixels are too many for the memory, and no output
    scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix="extra") as temporary:
        images, bad = read_extra(Path(folder), found, Path(temporary, "pixels.npy"), base, split)
        photos = seen_in_training(images, dataset)
        rows = np.arange(len(images.manifest))
        predictors = load_all(APPROACHES, dataset.data_hash, compute)
        scores = {name: predictor.scores(images.pixels, rows) for name, predictor in predictors.items()}
        cards = {name: predictor.card for name, predictor in predictors.items()}
    source = images.manifest["source"].to_numpy()
    folders = sub_folders(images.manifest["path"].tolist(), images.labels)
    summary = summarise(images.labels, scores, cards, source, folders, resamples=p.resamples, seed=base.seed)
    seen = int((photos != "").sum())
    predictions = images.manifest[["path", "label", "source"]].assign(seen_in_training=photos)
    for approach, values in scores.items():
        predictions[f"score_{approach}"] = np.round(values, 6)

    report = Path("reports/extra", name)
    summary.write(report, name, skipped=len(bad), images_seen_in_training=seen)
    write_csv(report / "predictions.csv", predictions)
    table = summary.markdown(name)
    if seen:
        words = "of the images show photos of train or val (predictions.csv says which): figures are too optimistic"
        table += f"\n**{seen} {words}.**\n"
    write_text(report / "table.md", table)
    for path, reason in bad:
        print(f"note: {printable(path)}: {reason}; left out")
    print(table)
