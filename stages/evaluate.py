"""Score val and test once with all approaches: metrics, predictions, figures.

Reads   data/split, models/, reports/*/history.csv and params.yaml (base, evaluate)
Writes  reports/evaluate/: metrics.json, figures.csv, pairs.csv, table.md, predictions.csv, roc_*.csv and figures/*.png;
        one MLflow run
Takes   about 30 s on the sample (240 images, three approaches, two cores)
"""

from fakeface.errors import run
from fakeface.params import APPROACHES, load_params


def evaluate() -> None:
    params = load_params()  # before the heavy imports: a wrong value is answered at once

    from pathlib import Path

    import numpy as np
    import pandas as pd
    from sklearn.metrics import roc_curve

    from fakeface.data.store import Dataset
    from fakeface.evaluation import figures
    from fakeface.evaluation.predictor import load_all
    from fakeface.evaluation.summary import summarise
    from fakeface.evaluation.threshold import uncalibrated
    from fakeface.files import whole, write_text
    from fakeface.tracking import live
    from fakeface.training.device import configure

    base, p = params.base, params.evaluate
    compute = configure(base.seed, base.threads, base.device, base.precision)
    dataset = Dataset.open()
    rows = np.concatenate([dataset.rows("val"), dataset.rows("test")])
    is_test = dataset.manifest["split"].to_numpy()[rows] == "test"
    test_rows, labels = rows[is_test], dataset.labels[rows[is_test]]
    source = dataset.manifest["source"].to_numpy()[test_rows]
    predictors = load_all(APPROACHES, dataset.data_hash, compute, p.batch_size)
    both = {name: predictor.scores(dataset.pixels, rows) for name, predictor in predictors.items()}
    cards = {name: predictor.card for name, predictor in predictors.items()}
    scores = {name: values[is_test] for name, values in both.items()}
    summary = summarise(labels, scores, cards, source, resamples=p.resamples, seed=base.seed)
    results = summary.headline()
    predictions = dataset.manifest.loc[rows, ["path", "label", "split"]].copy()
    for name, values in both.items():
        predictions[f"score_{name}"] = np.round(values, 6)

    histories = {name: pd.read_csv(f"reports/{name}/history.csv") for name in APPROACHES}
    shown = np.sort(np.random.default_rng(base.seed).permutation(len(labels))[: p.grid_images])
    pictures = {
        "training_images": figures.training_images(dataset.pixels, dataset.labels, dataset.rows("train")),
        "curves": figures.curves(histories),
        "roc": figures.roc(labels, scores, {name: results[name]["roc_auc"] for name in APPROACHES}),
        "intervals": figures.intervals(summary.figures, summary.intervals),
        "reliability": figures.reliability(
            labels, {name: uncalibrated(scores[name], cards[name]["temperature"]) for name in APPROACHES}, scores
        ),
        "confusion": figures.confusion(labels, scores),
    }
    for name in APPROACHES:
        grid = figures.prediction_grid(
            dataset.pixels, labels[shown], scores[name][shown], test_rows[shown], f"{name} on test images"
        )
        pictures[f"predictions_{name}"] = grid
    tags = {"data_hash": dataset.data_hash, "precision": compute.precision, "machine": compute.describe()}
    with live.stage_run("evaluate", enabled=base.tracking, params={"base": base, "evaluate": p}, tags=tags) as tracker:
        with whole("reports/evaluate/figures") as folder:
            folder.mkdir()
            for name, figure in pictures.items():
                figures.save(figure, folder / f"{name}.png")
        write_text("reports/evaluate/predictions.csv", predictions.to_csv(index=False, lineterminator="\n"))
        for name in APPROACHES:
            false_positive, true_positive, _ = roc_curve(labels, scores[name])
            curve = pd.DataFrame({"false_positive_rate": false_positive, "true_positive_rate": true_positive}).round(6)
            write_text(f"reports/evaluate/roc_{name}.csv", curve.to_csv(index=False, lineterminator="\n"))
        summary.write("reports/evaluate", "Test set")
        tracker.finish(results, [Path("reports/evaluate")], histories)
    digests = {name: card["sha256"] for name, card in cards.items()}
    live.log_test_metrics(digests, results, enabled=base.tracking)
    print(summary.markdown("Test set"))


if __name__ == "__main__":
    run(evaluate, __doc__)
