"""Score val and test once with all approaches: metrics, predictions, figures.

Reads   data/split, models/, reports/*/history.csv and params.yaml (base, evaluate)
Writes  reports/evaluate/metrics.json, predictions.csv, roc_*.csv and figures/*.png; one MLflow run
Takes   about 25 s on the sample (240 images, three approaches, two cores)
"""

from fakeface.errors import run
from fakeface.params import load_params

APPROACHES = ("scratch", "extractor", "finetune")


def evaluate() -> None:
    params = load_params()  # before the heavy imports: a wrong value is answered at once

    import json
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from sklearn.metrics import roc_curve

    from fakeface import tracking
    from fakeface.data.store import Dataset
    from fakeface.errors import UserError
    from fakeface.evaluation import figures, metrics
    from fakeface.evaluation.predictor import Predictor
    from fakeface.files import whole, write_text
    from fakeface.training.device import configure

    base, p = params.base, params.evaluate
    compute = configure(base.seed, base.threads, base.device, base.precision)
    dataset = Dataset.open()
    rows = np.concatenate([dataset.rows("val"), dataset.rows("test")])
    is_test = dataset.manifest["split"].to_numpy()[rows] == "test"
    test_rows, labels = rows[is_test], dataset.labels[rows[is_test]]
    predictions = dataset.manifest.loc[rows, ["path", "label", "split"]].copy()
    results: dict[str, dict[str, object]] = {}
    scores: dict[str, np.ndarray] = {}
    digests: dict[str, str] = {}
    for approach in APPROACHES:
        predictor = Predictor.load(f"models/{approach}", compute, p.batch_size)
        card = predictor.card
        if card["data_hash"] != dataset.data_hash:
            raise UserError(f"models/{approach}: was trained on another split (data_hash differs); run `dvc repro`")
        both = predictor.scores(dataset.pixels, rows)
        predictions[f"score_{approach}"] = np.round(both, 6)
        scores[approach] = both[is_test]
        results[approach] = metrics.evaluate(labels, scores[approach], card["threshold"])
        digests[approach] = card["sha256"]

    histories = {name: pd.read_csv(f"reports/{name}/history.csv") for name in APPROACHES}
    shown = np.sort(np.random.default_rng(base.seed).permutation(len(labels))[: p.grid_images])
    pictures = {
        "training_images": figures.training_images(dataset.pixels, dataset.labels, dataset.rows("train")),
        "curves": figures.curves(histories),
        "roc": figures.roc(labels, scores, {name: float(str(results[name]["roc_auc"])) for name in APPROACHES}),
        "confusion": figures.confusion(labels, scores),
    }
    for name in APPROACHES:
        grid = figures.prediction_grid(
            dataset.pixels, labels[shown], scores[name][shown], test_rows[shown], f"{name} on test images"
        )
        pictures[f"predictions_{name}"] = grid
    tags = {"data_hash": dataset.data_hash, "precision": compute.precision, "machine": compute.describe()}
    with tracking.stage_run(
        "evaluate", enabled=base.tracking, params={"base": base, "evaluate": p}, tags=tags
    ) as tracker:
        with whole("reports/evaluate/figures") as folder:
            folder.mkdir()
            for name, figure in pictures.items():
                figures.save(figure, folder / f"{name}.png")
        write_text("reports/evaluate/predictions.csv", predictions.to_csv(index=False, lineterminator="\n"))
        for name in APPROACHES:
            false_positive, true_positive, _ = roc_curve(labels, scores[name])
            curve = pd.DataFrame({"false_positive_rate": false_positive, "true_positive_rate": true_positive}).round(6)
            write_text(f"reports/evaluate/roc_{name}.csv", curve.to_csv(index=False, lineterminator="\n"))
        write_text("reports/evaluate/metrics.json", json.dumps(results, indent=2) + "\n")
        tracker.finish(results, [Path("reports/evaluate")], histories)
    tracking.log_test_metrics(digests, results, enabled=base.tracking)
    for name, row in results.items():
        print(f"{name:10} accuracy {row['accuracy']:.4f}  AP {row['average_precision']:.4f}  n {row['n_test']}")


if __name__ == "__main__":
    run(evaluate, __doc__)
