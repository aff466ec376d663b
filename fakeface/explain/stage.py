"""The stage `explain`: what the detectors get wrong, and where they look."""

import numpy as np

from fakeface.core.files import whole, write_csv, write_json, write_text
from fakeface.core.params import APPROACHES, Params
from fakeface.detector.device import configure
from fakeface.detector.predictor import load_all
from fakeface.explain import gradcam, page
from fakeface.explain.calls import Calls, error_table, evenly_spaced, read_test_scores
from fakeface.images.store import Dataset
from fakeface.pages.render import figure_jpeg

COLUMNS = 6  # images in a row of the Grad-CAM pictures, and of the easiest and hardest
ERRORS = 24  # of each approach on the page, the hardest; all of them are in errors.csv


def explain(params: Params) -> None:
    base = params.base
    # a gradient in bf16 has too few digits for a map
    compute = configure(base.seed, base.threads, base.device, "fp32")
    dataset = Dataset.open()
    rows = dataset.rows("test")
    paths, labels = dataset.manifest["path"].to_numpy()[rows], dataset.labels[rows]
    scores = read_test_scores("reports/evaluate/predictions.csv", dataset, APPROACHES)
    predictors = load_all(APPROACHES, dataset.data_hash, compute)

    found: dict[str, page.Explained] = {}
    for name, predictor in predictors.items():
        card = predictor.card
        one = Calls(labels, scores[name], card["threshold"])
        shown = {group: evenly_spaced(places, COLUMNS) for group, places in one.groups().items()}
        together = np.concatenate(list(shown.values()))
        crops = gradcam.crops(dataset.pixels, rows[together], card["crop_size"])
        maps = gradcam.heat_maps(predictor, dataset.pixels, rows[together])
        overlays = gradcam.overlay(crops, maps)
        ends = np.cumsum([len(places) for places in shown.values()])[:-1]
        parts = zip(shown.values(), np.split(crops, ends), np.split(overlays, ends), strict=True)
        heat = dict(zip(shown, parts, strict=True))
        found[name] = page.Explained(card["network"], card["crop_size"], one, heat)

    calls = {name: explained.calls for name, explained in found.items()}
    with whole("reports/explain/figures") as folder:
        folder.mkdir()
        for name, explained in found.items():
            extremes = page.extremes_figure(name, dataset.pixels, rows, explained.calls, COLUMNS)
            (folder / f"extremes_{name}.jpg").write_bytes(figure_jpeg(extremes))
            pairs = page.gradcam_figure(name, explained)
            (folder / f"gradcam_{name}.jpg").write_bytes(figure_jpeg(pairs))
    write_csv("reports/explain/errors.csv", error_table(paths, calls))
    counts = {name: of.counts() for name, of in calls.items()}
    write_json("reports/explain/explain.json", counts)
    html = page.explain_page(paths, dataset.pixels, rows, found, errors_shown=ERRORS, columns=COLUMNS)
    write_text("reports/explain/index.html", html)
    for name, count in counts.items():
        print(f"{name:10} {count['errors']} of {len(rows)} wrong at {count['threshold']:.3f}")
    print("reports/explain/index.html")
