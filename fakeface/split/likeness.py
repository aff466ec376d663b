"""Whether two pictures show one photo: edges at the same places. An edit keeps most of them, another face has others.

A picture becomes 32x32 grey levels, less their mean nearby and divided by their contrast nearby (local contrast
normalisation): neither light nor colour counts, nor the layout that all portraits share. What is compared is the correlation of
two such fields. docs/data.md says how well that tells twins from other pairs.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image
from scipy.ndimage import correlate1d

from fakeface.core.progress import progress

SIDE = 32  # pixels
LENGTH = 1000.0  # of a descriptor; its whole numbers are from -127 to 127, mostly within 100
# Correlations from which on two pictures are of one photo: where their names say so too, and where nothing else does.
NAMED, UNNAMED = 0.4, 0.65
MIRROR = np.float32(
    13 / 16
)  # what it counts for when one is mirrored: faces are nearly symmetric, so 0.8 stands for 0.65
ROWS, COLUMNS = 512, 1024  # compared at once: 2 MB
MANY = 8192  # looks from which on likenesses are bounded first; fewer are compared as fast without
SAMPLE = 2000  # looks, whose principal components serve for that
CHECK = 100_000  # what a likeness costs more than one component of a bound
SLACK = 1e-3  # of a correlation: a hundred times what rounding takes from a bound
# sigma 1 pixel; its sums, and those over 9 pixels, are exact in float64, so the same on every processor
BINOMIAL, NEARBY = np.array([1.0, 4, 6, 4, 1]), np.ones(9)
# Parts of a picture that a crop of it may look like: up to 12 % of each side cut off, in steps of 4 %, wherever.
CROPS = [
    (left / 100, top / 100, (left + 100 - cut) / 100, (top + 100 - cut) / 100)
    for cut in (0, 4, 8, 12)
    for left in range(0, cut + 1, 4)
    for top in range(0, cut + 1, 4)
]


def describe(pixels: np.ndarray) -> np.ndarray:
    """uint8 [3, S, S] -> int8 [1024], of length `LENGTH`, or all 0 for a picture without any edge."""
    return describe_crops(pixels, ((0, 0, 1, 1),))[0]


def describe_crops(pixels: np.ndarray, boxes: Sequence[tuple[float, float, float, float]] = CROPS) -> np.ndarray:
    """The same for parts of the picture: left, top, right, bottom from 0 to 1 each; int8 [len(boxes), 1024]."""
    image = Image.fromarray(pixels.transpose(1, 2, 0)).convert("L")
    s = image.width
    places = [(s * left, s * top, s * right, s * bottom) for left, top, right, bottom in boxes]
    small = [np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX, box=place)) for place in places]
    grey = np.stack(small).astype(np.float64)
    detail = grey * 256 - _both(grey, BINOMIAL)
    contrast = np.sqrt(_both(detail * detail, NEARBY) / 81)
    field = (detail / (contrast + 512)).reshape(len(small), -1)  # 2 grey levels: noise in a plain area is no edge
    field -= field.mean(axis=1, keepdims=True)
    length = np.sqrt(np.square(field).sum(axis=1, keepdims=True))
    return np.rint(field * (LENGTH / np.where(length, length, np.inf))).clip(-127, 127).astype(np.int8)


def likenesses(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """`likeness` of each with each, times `LENGTH` squared: int8 [N, 1024] and [M, 1024] -> float32 [N, M].

    Sums of whole numbers below 2**24: exact in float32 in whatever order the processor adds them.
    """
    (even, odd), (other_even, other_odd) = _halves(some), _halves(others)
    same, opposite = even @ other_even.T, odd @ other_odd.T
    return np.maximum(same + opposite, (same - opposite) * MIRROR) / 2


def likeness(looks: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Correlation, -1 to 1, of each of the pairs, as they are or, at a discount (`MIRROR`), one of them mirrored.

    int8 [N, 1024] and int64 [P, 2] -> float64 [P].
    """
    return _products(looks, pairs).astype(np.float64) / LENGTH**2


def _products(looks: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The same times `LENGTH` squared, exactly: float32 [P]."""
    parts = [np.empty(0, np.float32)]
    for block in np.split(pairs, range(ROWS, len(pairs), ROWS)):
        one, other = (looks[numbers].astype(np.float32) for numbers in block.T)
        flipped = other.reshape(-1, SIDE, SIDE)[:, :, ::-1].reshape(other.shape)
        same, mirrored = (np.einsum("pk,pk->p", one, x) for x in (other, flipped))
        parts.append(np.maximum(same, mirrored * MIRROR))
    return np.concatenate(parts)


def alike_pairs(looks: np.ndarray, least: float = UNNAMED) -> Iterator[np.ndarray]:
    """All pairs i < j with a likeness of at least `least`, each once: int8 [N, 1024] -> blocks int64 [P, 2], in any order.

    Likenesses are computed of those pairs alone whose bound (`_bounds`) reaches so far, of faces one in some thousands. Bounds
    are computed of all: for 100,000 CelebA faces 2e12 operations.
    """
    reached = np.float32((least - SLACK) * 2 * LENGTH**2)
    even, odd = _bounds(looks, reached) if len(looks) >= MANY else _halves(looks)
    blocks = range(0, len(looks), ROWS)
    for top in progress(blocks, len(blocks), "compare", "block"):
        for left in range(top - top % COLUMNS, len(looks), COLUMNS):
            same, opposite = (x[top : top + ROWS] @ x[left : left + COLUMNS].T for x in (even, odd))
            np.abs(opposite, out=opposite)  # mirrored or not; MIRROR only lowers it
            same += opposite
            i, j = np.nonzero(same >= reached)
            pairs = np.stack([i + top, j + left], axis=1)
            pairs = pairs[pairs[:, 0] < pairs[:, 1]]
            pairs = pairs[_products(looks, pairs) >= np.float32(least * LENGTH**2)]
            if len(pairs):
                yield pairs


def _bounds(looks: np.ndarray, reached: np.float32) -> tuple[np.ndarray, np.ndarray]:
    """float32 [N, a + 2] and [N, b] in place of `_halves`: with u and v, the products of two rows of each, u + v and u - v are at
    least what same + opposite and same - opposite are in `likenesses`, but for rounding.

    What two looks have along the first principal components is multiplied; of the rests the lengths are: their product is
    never smaller (Cauchy and Schwarz). As many components as cost least, where those of a sample that have `reached` are checked.
    """
    halves = _halves(looks[np.sort(np.random.default_rng(0).permutation(len(looks))[:SAMPLE])])
    weights, axes = zip(*(np.linalg.eigh((half.T @ half).astype(np.float64)) for half in halves), strict=True)

    def bounds(some: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
        whole = [half.astype(np.float64) for half in _halves(some)]
        along = [half @ axis[:, weight >= least] for half, axis, weight in zip(whole, axes, weights, strict=True)]
        rests = [np.square(x).sum(1) - np.square(y).sum(1) for x, y in zip(whole, along, strict=True)]
        lengths = np.sqrt(np.maximum(rests, 0))
        return np.column_stack([along[0], *lengths]).astype(np.float32), along[1].astype(np.float32)

    def cost(least: float) -> float:
        u, v = (x @ x.T for x in bounds(tried, least))
        return (np.concatenate(weights) >= least).sum() + CHECK * float((u + np.abs(v) >= reached).mean())

    tried = looks[np.sort(np.random.default_rng(1).permutation(len(looks))[: SAMPLE // 4])]
    least = min(np.sort(np.concatenate(weights))[-32::-64], key=cost)
    first, second = (np.empty((len(looks), x.shape[1]), np.float32) for x in bounds(tried, least))
    for start in range(0, len(looks), ROWS):
        first[start : start + ROWS], second[start : start + ROWS] = bounds(looks[start : start + ROWS], least)
    return first, second


def _halves(looks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and difference of the left half and the mirrored right one: float32 [N, 512] each. A mirrored picture has the same sums
    and opposite differences, so two products tell of both."""
    fields = looks.reshape(-1, SIDE, SIDE).astype(np.float32)
    left, right = fields[:, :, : SIDE // 2], fields[:, :, : SIDE // 2 - 1 : -1]
    return (left + right).reshape(-1, SIDE * SIDE // 2), (left - right).reshape(-1, SIDE * SIDE // 2)


def _both(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return correlate1d(correlate1d(values, weights, 1, mode="nearest"), weights, 2, mode="nearest")
