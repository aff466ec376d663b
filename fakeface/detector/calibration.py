"""From logits to calibrated scores, and from scores on val to a threshold and to doubts about the detector."""

from typing import Any

import numpy as np

from fakeface.core.params import ENOUGH_GROUPS

# Temperatures beyond these say that val has too little to tell, not how sure the network is.
TEMPERATURES = (0.05, 20.0)


def scores_from_logits(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Logits [N, 2] -> float64 [N], the softmax probability of class 1: sigmoid of the difference, without overflow.

    Args:
        temperature: divides the logits (`fit_temperature`). It moves no score across 0.5 and changes no order.
    """
    difference = logits[:, 1].astype(np.float64) - logits[:, 0].astype(np.float64)
    return 0.5 * (1 + np.tanh(0.5 * difference / temperature))


def uncalibrated(scores: np.ndarray, temperature: float) -> np.ndarray:
    """The scores [N] as they would be at temperature 1."""
    with np.errstate(divide="ignore"):  # a score of 0 or 1 is an infinite logit, and stays one
        difference = (np.log(scores) - np.log1p(-scores)) * temperature
    return 0.5 * (1 + np.tanh(0.5 * difference))


def class_weights(labels: np.ndarray) -> np.ndarray | None:
    """float64 [2], what an image of each class counts so that both classes count alike and the mean is 1; None where each
    has as many images, or one has none.

    Args:
        labels: int [N], 0 real, 1 fake. With other kinds of fakes as 2 and more the result is
            longer, and within the fakes all kinds count alike.
    """
    counts = np.bincount(labels, minlength=2)
    kinds = np.count_nonzero(counts[1:])
    if not counts[0] or not kinds:
        return None
    per_class = 2 * counts * np.where(np.arange(len(counts)) == 0, 1, kinds)
    weights = np.divide(len(labels), per_class, out=np.zeros(len(counts)), where=counts > 0)
    return None if (weights[counts > 0] == 1).all() else weights


def fit_temperature(labels: np.ndarray, logits: np.ndarray) -> float:
    """The temperature with the least log loss on val (Guo et al. 2017), between 0.05 and 20.

    Where val is perfectly told apart, plain log loss wants the temperature 0 and certainty. So the targets are not 0 and 1 but
    Platt's (1999, section 2.2): 1 / (reals + 2) and (fakes + 1) / (fakes + 2). 45 fakes, all found, allow a score of 46/47, not
    of 1; with hundreds of images and some mistakes among them this changes next to nothing. Both classes count alike.

    Args:
        labels: int [N], 0 real, 1 fake.
        logits: [N, 2], of the val images.
    """
    from scipy.optimize import minimize_scalar  # half a second that only trainings pay

    difference = logits[:, 1].astype(np.float64) - logits[:, 0].astype(np.float64)
    fakes = int(labels.sum())
    targets = np.where(labels == 1, (fakes + 1) / (fakes + 2), 1 / (len(labels) - fakes + 2))
    weights = class_weights(labels)
    counted = None if weights is None else weights[labels]

    def loss(log_temperature: float) -> float:  # convex in 1 / temperature, so it has one minimum
        divided = difference / np.exp(log_temperature)
        return float(np.average(np.logaddexp(0, divided) - targets * divided, weights=counted))

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-9})
    return float(np.exp(found.x))


def best_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """The threshold with the best balanced accuracy (fake where score >= threshold); of equally good ones the nearest to 0.5.

    A threshold between two scores is their mean, so it is not tied to one image's score.
    """
    reals, fakes = np.sort(scores[labels == 0]), np.sort(scores[labels == 1])
    distinct = np.unique(scores)[::-1]
    # a cut calls fake what scores `upper` or more, and real what scores `lower` or less
    upper, lower = np.append(1.0, distinct), np.append(distinct, 0.0)
    if distinct[0] == 1:  # nothing is above it: no threshold calls it real
        upper, lower = upper[1:], lower[1:]
    gain = np.searchsorted(reals, upper) / len(reals) - np.searchsorted(fakes, upper) / len(fakes)
    best = gain >= gain.max() - 1e-12
    upper, lower = upper[best], lower[best]
    if ((lower < 0.5) & (upper >= 0.5)).any():
        return 0.5
    middle = (upper + lower) / 2
    middle = np.where(middle <= lower, upper, middle)  # two scores next to each other have no middle
    return float(middle[np.argmin(np.abs(middle - 0.5))])


def doubts(labels: np.ndarray, scores: np.ndarray, threshold: float, source: np.ndarray) -> dict[str, Any]:
    """What a card must state in addition to the figures, from val; empty if there is nothing.

    `constant`: "real" or "fake", the one answer that it gives to all images. `guessing`: True where it cannot be told from
    guessing: one answer for all, or a ROC-AUC whose 95 % interval reaches down to 0.5. The interval is DeLong's (1988), summed by
    photo (Obuchowski 1997). Under 6 photos a class show nothing, even if all are told apart (0.5 ** 5 is above 1 in 40): `few`,
    the smaller number of them.

    Args:
        labels: int [N], 0 real, 1 fake; scores: float [N]; source: [N], the photo of each image.
    """
    from scipy.stats import rankdata

    verdicts = set((scores >= threshold).tolist())
    if len(verdicts) == 1:
        return {"constant": ("real", "fake")[verdicts.pop()], "guessing": True}
    fake, ranks, below = labels == 1, rankdata(scores), np.empty(len(scores))
    for own in (fake, ~fake):  # part of the other class with a lower score, ties half
        below[own] = (ranks[own] - rankdata(scores[own])) / (~own).sum()
    area = below[fake].mean()
    off = np.where(fake, below - area, 1 - below - area) / np.where(fake, fake.sum(), (~fake).sum())
    photos, photo = np.unique(source, return_inverse=True)
    deviation = np.sqrt(len(photos) / max(len(photos) - 1, 1) * (np.bincount(photo, off) ** 2).sum())
    few = min(len(np.unique(source[own])) for own in (fake, ~fake))
    if few < ENOUGH_GROUPS:
        return {"guessing": True, "few": few}
    return {"guessing": True} if area - 1.96 * deviation <= 0.5 else {}
