"""Whether two pictures show one photo: edges at the same places. An edit keeps most of them, another face has others.

A picture becomes 32x32 grey levels, less their mean nearby and divided by their contrast nearby (local contrast
normalisation): neither light nor colour counts, nor the layout that all portraits share. What is compared is the correlation of
two such fields. docs/data.md says how well that tells twins from strangers.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image
from scipy.ndimage import correlate1d

from fakeface.core.progress import progress

SIDE = 32  # pixels
LENGTH = 1000.0  # of a descriptor; its whole numbers lie in -127 to 127, mostly within 100
# Correlations from which on two pictures are of one photo: where their names say so too, and where nothing else does.
NAMED, UNNAMED = 0.4, 0.65
MIRROR = np.float32(
    13 / 16
)  # what it counts for when one is mirrored: faces are nearly symmetric, so 0.8 stands for 0.65
ROWS, COLUMNS = 1024, 2048  # compared at once: 8 MB
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
    parts = [np.empty(0)]
    for block in np.split(pairs, range(ROWS, len(pairs), ROWS)):
        halves = zip(_halves(looks[block[:, 0]]), _halves(looks[block[:, 1]]), strict=True)
        same, opposite = ((one * other).sum(axis=1) for one, other in halves)
        parts.append(np.maximum(same + opposite, (same - opposite) * MIRROR) / 2 / LENGTH**2)
    return np.concatenate(parts)


def alike_pairs(looks: np.ndarray, least: float = UNNAMED) -> Iterator[np.ndarray]:
    """All pairs i < j with a likeness of at least `least`, each once: int8 [N, 1024] -> blocks int64 [P, 2], in any order.

    100,000 images are 1e13 operations.
    """
    blocks = range(0, len(looks), ROWS)
    for top in progress(blocks, len(blocks), "compare", "block"):
        for left in range(top - top % COLUMNS, len(looks), COLUMNS):
            products = likenesses(looks[top : top + ROWS], looks[left : left + COLUMNS])
            i, j = np.nonzero(products >= np.float32(least * LENGTH**2))
            pairs = np.stack([i + top, j + left], axis=1)
            if len(pairs := pairs[pairs[:, 0] < pairs[:, 1]]):
                yield pairs


def _halves(looks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and difference of the left half and the mirrored right one: float32 [N, 512] each. A mirrored picture has the same sums
    and opposite differences, so two products tell of both."""
    fields = looks.reshape(-1, SIDE, SIDE).astype(np.float32)
    left, right = fields[:, :, : SIDE // 2], fields[:, :, : SIDE // 2 - 1 : -1]
    return (left + right).reshape(-1, SIDE * SIDE // 2), (left - right).reshape(-1, SIDE * SIDE // 2)


def _both(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return correlate1d(correlate1d(values, weights, 1, mode="nearest"), weights, 2, mode="nearest")
