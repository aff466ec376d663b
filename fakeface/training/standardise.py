"""Features of mean 0 and deviation 1 for the head that is trained on them, as for every linear probe.

Gradient steps then change what comes of each feature at the same pace. Traces of generators lie in features that vary little:
without this, heads on CLIP did worse on generators that they had not seen (docs/results.md#how-recipe-clip-works).
"""

import numpy as np
import torch

from fakeface.detector.networks import Head

LEAST = 0.01  # of the median deviation: what is all but constant in train is not blown up


def standardise(stored: dict[str, np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Changes `train` and `val`, float32 [views, n, F], in place; by train, over all of its views.

    Returns:
        mean and deviation, float32 [F].
    """
    train = stored["train"].reshape(-1, stored["train"].shape[-1])
    mean = train.mean(0, dtype=np.float64).astype(np.float32)
    for values in stored.values():
        values -= mean
    deviation = np.sqrt(np.einsum("nf,nf->f", train, train, dtype=np.float64) / len(train)).astype(np.float32)
    deviation = np.maximum(deviation, LEAST * np.median(deviation))
    deviation[deviation == 0] = 1
    for values in stored.values():
        values /= deviation
    return torch.from_numpy(mean), torch.from_numpy(deviation)


def for_raw_features(head: torch.nn.Module, mean: torch.Tensor, deviation: torch.Tensor) -> Head:
    """The head that gives for features as they are what `head` gives for standardised ones; a copy."""
    assert isinstance(head, Head)
    raw = Head(head.in_features, head.out_features)
    with torch.no_grad():
        weight = head.weight.cpu().double() / deviation
        raw.weight.copy_(weight)
        raw.bias.copy_(head.bias.cpu().double() - weight @ mean.double())
    return raw
