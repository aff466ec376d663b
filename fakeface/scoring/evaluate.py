"""The stage `evaluate`: val and test images through all detectors, once."""

from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from fakeface.core.files import write_csv
from fakeface.core.params import APPROACHES, Params
from fakeface.detector.calibration import uncalibrated
from fakeface.detector.device import configure
from fakeface.detector.predictor import load_all
from fakeface.images.store import Dataset
from fakeface.scoring import figures
from fakeface.scoring.folders import not_in_test, sub_folders
from fakeface.scoring.summary import summarise

GRID = 32  # test images in each prediction grid
POINTS = 2000  # of a ROC curve in roc.csv, at most: the file is in git


def evaluate(params: Params) -> None:
    base, p = params.base, params.evaluate
    compute = configure(base.seed, base.threads, base.device, base.precision)
    dataset = Dataset.open()
    rows = np.concatenate([dataset.rows("val"), dataset.rows("test")])
    is_test = dataset.manifest["split"].to_numpy()[rows] == "test"
    test_rows, labels = rows[is_test], dataset.labels[rows[is_test]]
    source = dataset.manifest["source"].to_numpy()[test_rows]
    predictors = load_all(APPROACHES, dataset.data_hash, compute)
    both = {name: predictor.scores(dataset.pixels, rows) for name, predictor in predictors.items()}
    cards = {name: predictor.card for name, predictor in predictors.items()}
    scores = {name: values[is_test] for name, values in both.items()}
    folders = sub_folders(dataset.manifest["path"].tolist(), dataset.labels)
    thresholds = {name: card["threshold"] for name, card in cards.items()}
    summary = summarise(labels, scores, cards, source, folders[test_rows], resamples=p.resamples, seed=base.seed)
    summary = replace(summary, untested=not_in_test(folders, dataset.manifest["split"].to_numpy()))
    results = summary.headline()
    predictions = dataset.manifest.loc[rows, ["path", "label", "split"]].copy()
    for name, values in both.items():
        predictions[f"score_{name}"] = np.round(values, 6)

    histories = {name: pd.read_csv(f"reports/train/{name}/history.csv") for name in APPROACHES}
    shown = np.sort(np.random.default_rng(base.seed).permutation(len(labels))[:GRID])
    pictures = {
        "training_images": figures.training_images(dataset.pixels, dataset.labels, dataset.rows("train")),
        "curves": figures.curves(histories),
        "roc": figures.roc(labels, scores, {name: results[name]["roc_auc"] for name in APPROACHES}),
        "reliability": figures.reliability(
            labels, {name: uncalibrated(scores[name], cards[name]["temperature"]) for name in APPROACHES}, scores
        ),
        "confusion": figures.confusion(labels, scores, thresholds),
    }
    for name in APPROACHES:
        grid = figures.prediction_grid(
            dataset.pixels,
            labels[shown],
            scores[name][shown],
            test_rows[shown],
            f"{name} on test images",
            thresholds[name],
        )
        pictures[f"predictions_{name}"] = grid
    figures.save("reports/evaluate/figures", pictures)
    write_csv("reports/evaluate/predictions.csv", predictions)
    # one file for all approaches, so that one plot shows them (.dvc/plots/curves.json)
    curves = [history[["epoch", "val_accuracy"]].assign(approach=name) for name, history in histories.items()]
    write_csv("reports/evaluate/curves.csv", pd.concat(curves))
    rocs = [roc_points(labels, scores[name]).assign(approach=name) for name in APPROACHES]
    write_csv("reports/evaluate/roc.csv", pd.concat(rocs))
    summary.write("reports/evaluate", "Test set")
    print(summary.markdown("Test set"))


def roc_points(labels: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """The ROC curve, at most `POINTS` of it, both ends among them."""
    false_positive, true_positive, _ = roc_curve(labels, scores)
    curve = pd.DataFrame({"false_positive_rate": false_positive, "true_positive_rate": true_positive}).round(6)
    return curve.iloc[np.unique(np.linspace(0, len(curve) - 1, POINTS).round().astype(int))]
