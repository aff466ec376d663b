"""Is one approach better than another on the same images, or may it be chance? One test, and a plain sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fakeface.detector.calibration import class_weights

ALPHA = 0.05  # of all pairs together
DRAWS = 10_000
BLOCK = 500_000  # numbers in one array


@dataclass(frozen=True)
class Pair:
    """`a` against `b` on the same images: balanced accuracy, each at its own threshold.

    `difference`: a's less b's, `low`, `high`: its interval (`typical_values`), which holds for all pairs of the set together
    with 95 %, all fractions; `only_a`, `only_b`: images that only one of them has right; `p`: of the same test, times the
    number of pairs: it is at most 0.05 where the interval leaves out 0.
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

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def sentence(self) -> str:
        """What the test says, in words and with all figures; the better one first."""
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
        span = "" if low is None or high is None else f", interval {100 * low:+.1f} to {100 * high:+.1f}"
        figures = (
            f"{100 * accuracy_a:.1f} against {100 * accuracy_b:.1f} %, {100 * abs(self.difference):+.1f} points{span}; "
            f"{_count(only_a, 'image')} right in {a} only, {only_b} in {b} only, p = {self.p:.2g}"
        )
        verdict = f"{a} is better than {b}" if self.shown else f"{a} and {b}: no difference shown"
        return f"{verdict} {where}: {figures}."


def typical_values(leads: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sorted float64 [DRAWS]: the mean lead, times the number of photos, over random halves of the photos (Hartigan 1969).

    Their quantiles are the interval of a sign-flip test: it leaves out 0 exactly where the test, which gives each photo's lead
    either sign, rejects it. It takes nothing for independent but photos, and for leads of one size it is McNemar's exact test.

    Args:
        leads: float64 [photos], what each photo adds to the difference.
    """
    values, size = [], max(1, BLOCK // len(leads))
    for start in range(0, DRAWS, size):
        half = rng.random((min(size, DRAWS - start), len(leads))) < 0.5
        values.append(half @ leads * len(leads) / np.maximum(half.sum(1), 1))
    return np.sort(np.concatenate(values))


def compare(
    labels: np.ndarray,
    scores: Mapping[str, np.ndarray],
    thresholds: Mapping[str, float],
    source: np.ndarray,
    seed: int,
) -> list[Pair]:
    """All pairs of approaches on one set, none where it has one class; each level is 0.05 by their number (Bonferroni).

    Args:
        labels: int [N]; scores: approach -> float [N]; thresholds: of the verdicts; source: [N], the photo of each image.
    """
    if len(set(labels.tolist())) == 1:  # of one class alone the best is whatever always gives that answer
        return []
    names = list(combinations(scores, 2))
    right = {name: (values >= thresholds[name]) == (labels == 1) for name, values in scores.items()}
    weights = class_weights(labels)
    share = (np.ones(2) if weights is None else weights)[labels] / len(labels)  # of each image in the figure
    photos, photo = np.unique(source, return_inverse=True)
    pairs = []
    for a, b in names:
        leads = np.bincount(photo, share * (right[a].astype(float) - right[b]))
        drawn = typical_values(leads, np.random.default_rng(seed))
        # the outermost values that are left out at either end; a tail of the test is (values beyond 0, + 1) / (DRAWS + 1)
        out = int(ALPHA / len(names) / 2 * (DRAWS + 1))
        tail = (min((drawn <= 0).sum(), (drawn >= 0).sum()) + 1) / (DRAWS + 1)
        alike = not leads.any() or len(photos) == 1
        pair = Pair(
            a,
            b,
            images=len(labels),
            photos=len(photos),
            accuracy_a=float(share @ right[a]),
            accuracy_b=float(share @ right[b]),
            difference=float(leads.sum()),
            low=None if alike else float(drawn[out - 1]),
            high=None if alike else float(drawn[-out]),
            only_a=int((right[a] & ~right[b]).sum()),
            only_b=int((right[b] & ~right[a]).sum()),
            p=float(min(1, 2 * tail * len(names))),
        )
        pairs.append(pair)
    return pairs


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
