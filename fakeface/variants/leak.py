"""What a random split's leak is worth: an approach tested on photos it never saw, and trained and tested where a test image's
photo may stand in train, mostly with the other label.

The tables are those of `train.score_test_images`: a row for each test image, with the columns label, source, in_train, score.
"""

from math import hypot
from typing import Any

import pandas as pd

from fakeface.scoring.intervals import bootstrap, interval

Span = tuple[float, float] | None


def compare(grouped: pd.DataFrame, ungrouped: pd.DataFrame, *, resamples: int, seed: int) -> dict[str, Any]:
    """Accuracies at 0.5 with 95 % intervals by photo, of the random split's test images also by whether their photo is in train.

    `difference` is random split less whole photos.
    """
    spans = [_interval(table, resamples, seed) for table in (grouped, ungrouped)]
    whole, leaky = (
        _accuracy(table) | {"interval": _rounded(s)} for table, s in zip((grouped, ungrouped), spans, strict=True)
    )
    seen = ungrouped["in_train"].to_numpy(dtype=bool)
    parts = {"twin_in_train": _accuracy(ungrouped[seen]), "no_twin_in_train": _accuracy(ungrouped[~seen])}
    step = leaky["accuracy"] - whole["accuracy"]
    span = difference_interval(leaky["accuracy"], spans[1], whole["accuracy"], spans[0])
    return {
        "grouped": whole,
        "none": leaky | parts,
        "difference": {"accuracy": round(step, 6), "interval": _rounded(span)},
    }


def difference_interval(a: float, of_a: Span, b: float, of_b: Span) -> Span:
    """The interval of a - b from those of `a` and `b`, measured on different images (Newcombe 1998, method 10).

    Not from resamples: where all images are right they do not vary, and the difference would seem surer than it is.
    """
    if of_a is None or of_b is None:
        return None
    return a - b - hypot(a - of_a[0], of_b[1] - b), a - b + hypot(of_a[1] - a, b - of_b[0])


def _interval(table: pd.DataFrame, resamples: int, seed: int) -> Span:
    labels, source, scores = table["label"].to_numpy(), table["source"].to_numpy(dtype=str), table["score"].to_numpy()
    drawn = bootstrap(labels, {"it": scores}, {"it": 0.5}, source, resamples=resamples, seed=seed)
    return interval("accuracy", drawn["it"]["accuracy"], labels, source)


def _accuracy(table: pd.DataFrame) -> dict[str, Any]:
    right = (table["score"] >= 0.5) == (table["label"] == 1)
    return {"accuracy": round(float(right.mean()), 6) if len(table) else None, "n": len(table)}


def _rounded(span: Span) -> list[float] | None:
    return [round(value, 6) for value in span] if span else None
