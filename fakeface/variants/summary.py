"""The stage `variants`: the further trainings side by side with the pipeline's own.

The effect of a random split's leak: an approach tested on photos it never saw, compared with one trained where a test image's
photo may be in train, mostly with the other label.
"""

import statistics
from collections.abc import Mapping, Sequence
from itertools import product
from math import hypot
from pathlib import Path
from typing import Any

import pandas as pd

from fakeface.core.errors import UserError
from fakeface.core.files import read_json, write_json
from fakeface.core.params import APPROACHES, Params
from fakeface.images.store import Dataset
from fakeface.scoring.intervals import bootstrap, interval
from fakeface.scoring.metrics import evaluate
from fakeface.variants.leave_out import leave_out_figures

VERDICTS = "balanced_accuracy_at_threshold"  # the headline of evaluate, each training at its own threshold
Span = tuple[float, float] | None


def variants(params: Params) -> None:
    """Writes the figures of evaluate.seeds, evaluate.leak and evaluate.leave_out; the report shows them.

    Raises:
        UserError: an output of another stage is missing.
    """
    base, p = params.base, params.evaluate
    changes = [*(f"seed-{seed}" for seed in p.seeds), *(f"without-{generator}" for generator in p.leave_out)]
    wanted = {f"{name}/{change}" for name in APPROACHES for change in changes} | {f"{name}/leak" for name in p.leak}
    for folder in sorted(Path("reports/evaluate/variants").glob("*/*/")):
        if folder.relative_to("reports/evaluate/variants").as_posix() not in wanted:
            print(
                f"note: {folder} belongs to a variant that params.yaml does not list; delete it, otherwise dvc.lock will differ"
            )
    try:
        own = read_json("reports/evaluate/metrics.json")
        accuracies = {name: [own[name][VERDICTS]] for name in APPROACHES}
        for name, seed in product(APPROACHES, p.seeds):
            accuracies[name].append(read_json(f"reports/evaluate/variants/{name}/seed-{seed}/metrics.json")[VERDICTS])
        found = {}
        for name in p.leak:
            leak = Path("reports/evaluate/variants", name, "leak")
            thresholds = own_threshold(name), read_json(leak / "metrics.json")["threshold"]
            tables = _own_scores(name), read_scores(leak / "predictions.csv")
            found[name] = compare(*tables, thresholds, resamples=p.resamples, seed=base.seed)
        left_out = {
            name: _without(name, p.leave_out, resamples=p.resamples, seed=base.seed)
            | {"model_sha256": own[name]["model_sha256"]}
            for name in APPROACHES * bool(p.leave_out)
        }
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; run `dvc repro variants`") from None
    write_json("reports/seeds/seeds.json", seed_metrics(accuracies))
    write_json("reports/leak/leak.json", found)
    write_json("reports/leave_out/leave_out.json", left_out)
    print(
        f"{1 + len(p.seeds)} trainings of each approach, {len(p.leak)} on a random split, generators left out: "
        f"{', '.join(p.leave_out) or 'none'}; reports/index.html shows them"
    )


def seed_metrics(accuracies: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The number of seeds, and for each approach its VERDICTS with their mean and sample standard deviation.

    Args:
        accuracies: approach -> VERDICTS of each training on the same test images, in the order of the seeds. One alone
            has no deviation (n - 1 in the denominator).
    """
    approaches = {}
    for name, values in accuracies.items():
        sd = round(statistics.stdev(values), 6) if len(values) > 1 else None
        approaches[name] = {VERDICTS: list(values), "mean": round(statistics.mean(values), 6), "sd": sd}
    return {"seeds": len(next(iter(accuracies.values()))), "approaches": approaches}


def read_scores(path: Path | str) -> pd.DataFrame:
    """What `train.score_test_images` gave; names of photos are text, also where they look like numbers or like nothing."""
    return pd.read_csv(path, dtype={"path": str, "source": str, "without": str}, keep_default_na=False)


def own_threshold(approach: str) -> float:
    """The threshold of the pipeline's own verdicts."""
    figures = pd.read_csv("reports/evaluate/figures.csv").set_index(["approach", "figure"])["value"]
    return float(figures[approach, "threshold"])


def _own_scores(approach: str) -> pd.DataFrame:
    """The pipeline's own scores of the test images, as `train.score_test_images` has them."""
    manifest = Dataset.open().manifest
    predictions = pd.read_csv("reports/evaluate/predictions.csv", dtype={"path": str})
    table = predictions[predictions["split"] == "test"].merge(manifest[["path", "source"]], on="path", validate="1:1")
    in_train = table["source"].isin(manifest.loc[manifest["split"] == "train", "source"])
    return table.assign(in_train=in_train, score=table[f"score_{approach}"])[
        ["path", "label", "source", "in_train", "score"]
    ]


def _without(approach: str, names: Sequence[str], *, resamples: int, seed: int) -> dict[str, Any]:
    """`leave_out_figures` of one approach, from its own scores and those of the variants `without-<name>`."""
    test, dataset = _own_scores(approach), Dataset.open()
    test["generator"] = pd.Series(dataset.generators, index=dataset.manifest["path"]).loc[test["path"]].to_numpy()
    trainings = {"": (test["score"].to_numpy(), own_threshold(approach))}
    for name in names:
        folder = Path("reports/evaluate/variants", approach, f"without-{name}")
        metrics = read_json(folder / "metrics.json")
        for generator, table in read_scores(folder / "predictions.csv").groupby("without", sort=False):
            scores = table.set_index("path").loc[test["path"], "score"].to_numpy()
            trainings[str(generator)] = (scores, metrics[generator]["threshold"])
    return leave_out_figures(test, trainings, resamples=resamples, seed=seed)


def compare(
    grouped: pd.DataFrame, ungrouped: pd.DataFrame, thresholds: tuple[float, float], *, resamples: int, seed: int
) -> dict[str, Any]:
    """VERDICTS, each at its own of the `thresholds`, with 95 % intervals by photo; of the random split's test images also by
    whether their photo is in train.

    The tables are those of `train.score_test_images`: a row for each test image. `difference` is random split less whole photos.
    """
    both = list(zip((grouped, ungrouped), thresholds, strict=True))
    spans = [_interval(table, threshold, resamples, seed) for table, threshold in both]
    whole, leaky = (_accuracy(*one) | {"interval": _rounded(span)} for one, span in zip(both, spans, strict=True))
    seen = ungrouped["in_train"].to_numpy(dtype=bool)
    parts = {"twin_in_train": ungrouped[seen], "no_twin_in_train": ungrouped[~seen]}
    step = leaky[VERDICTS] - whole[VERDICTS]
    span = difference_interval(leaky[VERDICTS], spans[1], whole[VERDICTS], spans[0])
    return {
        "grouped": whole,
        "none": leaky | {key: _accuracy(part, thresholds[1]) for key, part in parts.items()},
        "difference": {VERDICTS: round(step, 6), "interval": _rounded(span)},
    }


def difference_interval(a: float, of_a: Span, b: float, of_b: Span) -> Span:
    """The interval of a - b from those of `a` and `b`, measured on different images (Newcombe 1998, method 10).

    Not from resamples: where all images are right they do not vary, and the difference would seem surer than it is.
    """
    if of_a is None or of_b is None:
        return None
    return a - b - hypot(a - of_a[0], of_b[1] - b), a - b + hypot(of_a[1] - a, b - of_b[0])


def _interval(table: pd.DataFrame, threshold: float, resamples: int, seed: int) -> Span:
    labels, source, scores = table["label"].to_numpy(), table["source"].to_numpy(dtype=str), table["score"].to_numpy()
    drawn = bootstrap(labels, {"it": scores}, {"it": threshold}, source, resamples=resamples, seed=seed)
    return interval(VERDICTS, drawn["it"][VERDICTS], labels, source)


def _accuracy(table: pd.DataFrame, threshold: float) -> dict[str, Any]:
    """None without images of both classes."""
    found = evaluate(table["label"].to_numpy(), table["score"].to_numpy(), threshold) if len(table) else {}
    return {VERDICTS: found.get(VERDICTS), "n": len(table)}


def _rounded(span: Span) -> list[float] | None:
    return [round(value, 6) for value in span] if span else None
