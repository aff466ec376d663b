"""Is one approach better than another on the same images, or may it be luck? Two tests, and a plain sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import binomtest

from fakeface.scoring.intervals import percentiles

ALPHA = 0.05


@dataclass(frozen=True)
class Pair:
    """`a` against `b` on the same images, accuracy at 0.5.

    `difference`: a's accuracy less b's, `low`, `high`: its 95 % interval, all fractions; `only_a`, `only_b`: images that only
    one of them has right; `p`: McNemar's exact test; `p_holm`: the same, corrected for the number of pairs.
    """

    a: str
    b: str
    images: int
    photos: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    low: float | None
    high: float | None
    only_a: int
    only_b: int
    p: float
    p_holm: float

    @property
    def shown(self) -> bool:
        """Whether both tests say so: the exact one after its correction, and the interval, which leaves out 0."""
        apart = self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)
        return apart and self.p_holm < ALPHA

    @property
    def sentence(self) -> str:
        """What the tests say, in words and with all figures; the better one first."""
        sides = [(self.a, self.accuracy_a, self.only_a), (self.b, self.accuracy_b, self.only_b)]
        ends = [self.low, self.high]
        if self.difference < 0:
            sides.reverse()
            ends = [end if end is None else 0 - end for end in (self.high, self.low)]  # 0 - x, for -x makes a -0.0 of 0
        (a, accuracy_a, only_a), (b, accuracy_b, only_b) = sides
        low, high = ends
        where = f"on {_count(self.images, 'image')} of {_count(self.photos, 'photo')}"
        if self.only_a + self.only_b == 0:
            return f"{a} and {b}: no difference shown {where}; each has {100 * accuracy_a:.1f} %, every image called alike."
        span = "" if low is None or high is None else f", 95 % interval {100 * low:+.1f} to {100 * high:+.1f}"
        figures = (
            f"{100 * accuracy_a:.1f} against {100 * accuracy_b:.1f} %, {100 * abs(self.difference):+.1f} points{span}; "
            f"{_count(only_a, 'image')} only {a} has right, {only_b} only {b}, p = {self.p_holm:.2g}"
        )
        verdict = f"{a} is better than {b}" if self.shown else f"{a} and {b}: no difference shown"
        return f"{verdict} {where}: {figures}."


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> tuple[int, int, float]:
    """McNemar's exact test (1947) of bool [N] and bool [N]: images only a has right, only b has right, two-sided p."""
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return only_a, only_b, float(p)


def holm(p: list[float]) -> list[float]:
    """p-values of m tests, corrected so that the chance of any false finding stays at its level (Holm 1979)."""
    order = np.argsort(p)
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(np.array(p)[order] * np.arange(len(p), 0, -1))
    return [float(value) for value in np.minimum(corrected, 1)]


def compare(
    labels: np.ndarray,
    scores: Mapping[str, np.ndarray],
    source: np.ndarray,
    resampled: Mapping[str, Mapping[str, np.ndarray]],
) -> list[Pair]:
    """All pairs of approaches on one set.

    A difference counts as shown only when both tests say so (`Pair.shown`): McNemar's takes images of one photo for
    independent, which may make it too sure; the bootstrap draws photos, but is not corrected for the number of pairs.

    Args:
        labels: int [N]; scores: approach -> float [N]; source: [N], the photo of each image.
        resampled: what `intervals.bootstrap` gave for them.
    """
    names = list(combinations(scores, 2))
    right = {name: (values >= 0.5) == (labels == 1) for name, values in scores.items()}
    tests = [mcnemar(right[a], right[b]) for a, b in names]
    pairs = []
    for (a, b), (only_a, only_b, p), p_holm in zip(names, tests, holm([p for _, _, p in tests]), strict=True):
        low, high = percentiles(resampled[a]["accuracy"] - resampled[b]["accuracy"]) or (None, None)
        pair = Pair(
            a,
            b,
            images=len(labels),
            photos=len(np.unique(source)),
            accuracy_a=float(right[a].mean()),
            accuracy_b=float(right[b].mean()),
            difference=(only_a - only_b) / len(labels),
            low=low,
            high=high,
            only_a=only_a,
            only_b=only_b,
            p=p,
            p_holm=p_holm,
        )
        pairs.append(pair)
    return pairs


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
