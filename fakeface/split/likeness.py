"""Whether two pictures show one photo: edges at the same places. An edit keeps most of them, another face has others.

A picture becomes 32x32 grey levels, less their mean nearby and divided by their contrast nearby (local contrast
normalisation): neither light nor colour counts, nor the layout that all portraits share. What is compared is the correlation of
two such fields. docs/data.md says how well that tells twins from strangers.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image
from scipy.ndimage import correlate1d
from tqdm import tqdm

SIDE = 32  # pixels
LENGTH = 1000.0  # of a descriptor; its whole numbers lie in -127 to 127, mostly within 100
# Correlations from which on two pictures are of one photo: where their names say so too, and where nothing else does.
NAMED, UNNAMED = 0.4, 0.65
ROWS, COLUMNS = 1024, 8192  # compared at once: 32 MB
# sigma 1 pixel; its sums, and those over 9 pixels, are exact in float64, so the same on every processor
BINOMIAL, NEARBY = np.array([1.0, 4, 6, 4, 1]), np.ones(9)


def describe(pixels: np.ndarray) -> np.ndarray:
    """uint8 [3, S, S] -> int8 [1024], of length `LENGTH`, or all 0 for a picture without any edge."""
    small = Image.fromarray(pixels.transpose(1, 2, 0)).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, dtype=np.float64)
    detail = grey * 256 - _both(grey, BINOMIAL)
    contrast = np.sqrt(_both(detail * detail, NEARBY) / 81)
    field = detail / (contrast + 512)  # 2 grey levels: noise in a plain area is no edge
    field -= field.mean()
    length = np.sqrt(np.square(field).sum())
    return np.rint(field * (LENGTH / length if length else 0)).clip(-127, 127).astype(np.int8).reshape(-1)


def likeness(looks: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Correlation, -1 to 1, of each of the pairs: int8 [N, 1024] and int64 [P, 2] -> float64 [P]."""
    parts = [np.empty(0)]
    for block in np.split(pairs, range(ROWS, len(pairs), ROWS)):
        i, j = (looks[block[:, side]].astype(np.float32) for side in (0, 1))
        parts.append((i * j).sum(1) / LENGTH**2)
    return np.concatenate(parts)


def alike_pairs(looks: np.ndarray, least: float = UNNAMED) -> Iterator[np.ndarray]:
    """All pairs i < j with a correlation of at least `least`, each once: int8 [N, 1024] -> blocks int64 [P, 2], in any order.

    Sums of whole numbers below 2**24: exact in float32 in whatever order the processor adds them. 100,000 images are 1e13
    operations.
    """
    for top in tqdm(range(0, len(looks), ROWS), desc="compare", unit_scale=ROWS, unit="image", disable=None):
        rows = looks[top : top + ROWS].astype(np.float32)
        for left in range(top - top % COLUMNS, len(looks), COLUMNS):
            products = rows @ looks[left : left + COLUMNS].astype(np.float32).T
            i, j = np.nonzero(products >= np.float32(least * LENGTH**2))
            pairs = np.stack([i + top, j + left], axis=1)
            if len(pairs := pairs[pairs[:, 0] < pairs[:, 1]]):
                yield pairs


def _both(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return correlate1d(correlate1d(values, weights, 0, mode="nearest"), weights, 1, mode="nearest")
