"""Score one further test folder, evaluate.extra_sets.NAME, with all approaches; nothing is trained.

Reads   the folder, models/, data/split/manifest.csv and params.yaml (base, split, evaluate)
Writes  reports/extra/NAME/: metrics.json, figures.csv, pairs.csv, table.md, predictions.csv; one MLflow run
Takes   about 12 s for 400 images of 248 pixels (three approaches, two cores)
"""

from fakeface.errors import printable, run
from fakeface.params import APPROACHES, load_params


def extra(name: str) -> None:
    params = load_params()  # before the heavy imports: a wrong value is answered at once

    import tempfile
    from pathlib import Path

    import numpy as np

    from fakeface.data.extra import find_extra, read_extra
    from fakeface.data.store import Dataset
    from fakeface.errors import UserError
    from fakeface.evaluation.predictor import load_all
    from fakeface.evaluation.summary import summarise
    from fakeface.files import write_text
    from fakeface.tracking import live
    from fakeface.training.device import configure

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
        images = read_extra(
            name,
            folder,
            found,
            Path(temporary, "pixels.npy"),
            image_size=base.image_size,
            max_megapixels=split.max_megapixels,
            threads=base.threads,
            hash_distance=split.hash_distance,
            skip_bad=split.on_bad_image == "skip",
        )
        rows = np.arange(len(images.manifest))
        predictors = load_all(APPROACHES, dataset.data_hash, compute, p.batch_size)
        scores = {name: predictor.scores(images.pixels, rows) for name, predictor in predictors.items()}
        cards = {name: predictor.card for name, predictor in predictors.items()}
    summary = summarise(images.labels, scores, cards, images.source, resamples=p.resamples, seed=base.seed)
    learnt = dataset.manifest.loc[dataset.manifest["split"].isin(["train", "val"]), "sha256"]
    seen = int(images.manifest["sha256"].isin(learnt).sum())
    predictions = images.manifest[["path", "label"]].assign(source=images.source)
    for approach, values in scores.items():
        predictions[f"score_{approach}"] = np.round(values, 6)

    report = Path("reports/extra", name)
    tags = {"data_hash": dataset.data_hash, "precision": compute.precision, "machine": compute.describe()}
    with live.stage_run(
        f"extra@{name}", enabled=base.tracking, params={"base": base, "evaluate": p}, tags=tags
    ) as tracker:
        summary.write(report, name, skipped=len(images.bad), images_seen_in_training=seen)
        write_text(report / "predictions.csv", predictions.to_csv(index=False, lineterminator="\n"))
        tracker.finish(summary.headline(), [report], {})
    for path, reason in images.bad:
        print(f"note: {printable(path)}: {reason}; left out")
    if seen:
        print(f"note: {seen} of the images, byte for byte, are in train or val: these figures are too good")
    print(summary.markdown(name))


if __name__ == "__main__":
    run(extra, __doc__)
