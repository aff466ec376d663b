"""From logits to scores, and from scores on val to a threshold."""

import numpy as np


def scores_from_logits(logits: np.ndarray) -> np.ndarray:
    """Logits [N, 2] -> float64 [N], the softmax probability of class 1: sigmoid of the difference, without overflow."""
    difference = logits[:, 1].astype(np.float64) - logits[:, 0].astype(np.float64)
    return 0.5 * (1 + np.tanh(0.5 * difference))


def best_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """The threshold with the best balanced accuracy (fake where score >= threshold); of equally good ones the nearest to 0.5.

    A threshold between two scores stands in the middle between them, so it is not tied to one image's score.
    """
    # sklearn's roc_curve gives the same counts; its import would cost each training stage 1.6 s for these lines
    distinct, place = np.unique(scores, return_inverse=True)
    fakes = np.bincount(place, weights=labels, minlength=len(distinct))
    reals = np.bincount(place, weights=1 - labels, minlength=len(distinct))
    gain = np.append(0.0, np.cumsum(fakes[::-1]) / fakes.sum() - np.cumsum(reals[::-1]) / reals.sum())
    cuts = np.append(np.inf, distinct[::-1])
    # cut i separates the scores >= cuts[i] from those below, of which the next is cuts[i + 1]
    upper = np.minimum(cuts, 1.0)
    lower = np.append(cuts[1:], 0.0)
    # a score of 1 cannot be called real: without room above it, the first cut (nothing is fake) does not exist
    best = np.flatnonzero((gain >= gain.max() - 1e-12) & ((upper > lower) | np.isfinite(cuts)))
    middle = (upper[best] + lower[best]) / 2
    middle = np.where(middle <= lower[best], upper[best], middle)  # two scores next to each other have no middle
    inside = (lower[best] < 0.5) & (upper[best] >= 0.5)
    if inside.any():
        return 0.5
    return float(middle[np.argmin(np.abs(middle - 0.5))])
