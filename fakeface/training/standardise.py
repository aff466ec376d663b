"""Features of mean 0 and deviation 1 for the head that is trained on them, as for every linear probe.

Gradient steps then change what comes of each feature at the same pace. Traces of generators are in features that vary little:
without this, heads on CLIP did worse on generators that they had not seen (docs/results.md#how-recipe-clip-works).
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from fakeface.detector.networks import Head
from fakeface.images.rows import RowFile, pieces

LEAST = 0.01  # of the median deviation: what is all but constant in train is not blown up


def standardise(stored: Mapping[str, Sequence[RowFile]]) -> tuple[torch.Tensor, torch.Tensor]:
    """From here on all views of `train` and `val` (`Dataset.features`) come standardised; by train, over all of its views.

    Returns:
        mean and deviation, float32 [F].
    """
    train = stored["train"]
    count = sum(map(len, train))
    mean = (_sum(piece.astype(np.float64) for piece in pieces(train)) / count).astype(np.float32)
    squares = _sum(np.square((piece - mean).astype(np.float64)) for piece in pieces(train))
    deviation = np.sqrt(squares / count).astype(np.float32)
    deviation = np.maximum(deviation, LEAST * np.median(deviation))
    deviation[deviation == 0] = 1
    for view in (*train, *stored["val"]):
        view.change = lambda values: (values - mean) / deviation
    return torch.from_numpy(mean), torch.from_numpy(deviation)


def _sum(parts: Iterator[np.ndarray]) -> np.ndarray:
    """float64 [n, F] each, n at least 1 -> [F]: added row by row, so the bits do not depend on the size of the parts."""
    total: np.ndarray | float = 0.0
    for part in parts:
        part[0] += total
        total = part.sum(0)
    return np.asarray(total)


def for_raw_features(head: torch.nn.Module, mean: torch.Tensor, deviation: torch.Tensor) -> Head:
    """The head that gives for features as they are what `head` gives for standardised ones; a copy."""
    assert isinstance(head, Head)
    raw = Head(head.in_features, head.out_features)
    with torch.no_grad():
        weight = head.weight.cpu().double() / deviation
        raw.weight.copy_(weight)
        raw.bias.copy_(head.bias.cpu().double() - weight @ mean.double())
    return raw
