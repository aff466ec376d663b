"""Show what the detectors get wrong and where they look: all errors, easiest and hardest test images, Grad-CAM.

Reads   data/split, models/, reports/evaluate/predictions.csv and params.yaml (base, explain)
Writes  reports/explain/index.html (read this one), errors.csv, explain.json and figures/*.jpg
Takes   about 9 s of one core on the sample (150 test images, three approaches)
"""

from fakeface.errors import run
from fakeface.params import APPROACHES, load_params


def explain() -> None:
    params = load_params()  # before the heavy imports: a wrong value is answered at once

    import json

    import numpy as np

    from fakeface.data.store import Dataset
    from fakeface.evaluation import explain_page, gradcam
    from fakeface.evaluation.explain import Calls, error_table, read_test_scores, spread
    from fakeface.evaluation.page import figure_jpeg
    from fakeface.evaluation.predictor import load_all
    from fakeface.files import whole, write_text
    from fakeface.training.device import configure

    base, p = params.base, params.explain
    # a gradient in bf16 has too few digits for a map
    compute = configure(base.seed, base.threads, base.device, "fp32")
    dataset = Dataset.open()
    rows = dataset.rows("test")
    paths, labels = dataset.manifest["path"].to_numpy()[rows], dataset.labels[rows]
    scores = read_test_scores("reports/evaluate/predictions.csv", dataset, APPROACHES)
    predictors = load_all(APPROACHES, dataset.data_hash, compute, gradcam.BATCH)

    found: dict[str, explain_page.Explained] = {}
    for name, predictor in predictors.items():
        card = predictor.card
        one = Calls(labels, scores[name], card["threshold"])
        shown = {group: spread(places, p.columns) for group, places in one.groups().items()}
        together = np.concatenate(list(shown.values()))
        crops = gradcam.crops(dataset.pixels, rows[together], card["crop_size"])
        maps = gradcam.heat_maps(predictor, dataset.pixels, rows[together])
        overlays = explain_page.overlay(crops, maps)
        ends = np.cumsum([len(places) for places in shown.values()])[:-1]
        parts = zip(shown.values(), np.split(crops, ends), np.split(overlays, ends), strict=True)
        heat = dict(zip(shown, parts, strict=True))
        found[name] = explain_page.Explained(card["network"], card["crop_size"], one, heat)

    calls = {name: explained.calls for name, explained in found.items()}
    with whole("reports/explain/figures") as folder:
        folder.mkdir()
        for name, explained in found.items():
            extremes = explain_page.extremes_figure(name, dataset.pixels, rows, explained.calls, p.columns)
            (folder / f"extremes_{name}.jpg").write_bytes(figure_jpeg(extremes))
            pairs = explain_page.gradcam_figure(name, explained)
            (folder / f"gradcam_{name}.jpg").write_bytes(figure_jpeg(pairs))
    write_text("reports/explain/errors.csv", error_table(paths, calls).to_csv(index=False, lineterminator="\n"))
    counts = {name: of.counts() for name, of in calls.items()}
    write_text("reports/explain/explain.json", json.dumps(counts, indent=2) + "\n")
    html = explain_page.page(paths, dataset.pixels, rows, found, errors_shown=p.errors_shown, columns=p.columns)
    write_text("reports/explain/index.html", html)
    for name, count in counts.items():
        print(f"{name:10} {count['errors']} of {len(rows)} wrong at {count['threshold']:.3f}")
    print("reports/explain/index.html")


if __name__ == "__main__":
    run(explain, __doc__)
