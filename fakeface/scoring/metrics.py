"""Figures of a detector on a labelled set. Scores are calibrated probabilities of fake (class 1).

scikit-learn does the counting where it knows the figure. The equal error rate, the true-positive rate at a false-positive rate
and the expected calibration error are written here, on the last axis, so that `intervals` takes them of all resamples at once.
"""

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    roc_auc_score,
    roc_curve,
)

BINS = 15


def evaluate(labels: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, float]:
    """One approach on one set. Fractions, rounded to 6 decimals; what is not defined for the set is left out.

    `accuracy`, `accuracy_real`, `accuracy_fake` (recall of each class) and `balanced_accuracy` are at 0.5, the
    article's way; `..._at_threshold` at `threshold`, which was chosen on val. A set of one class has its accuracy and its recall;
    reals alone give `false_positive_rate`, the part of them called fake. docs/compare.md says each figure in one line.

    Args:
        labels: int [N], 0 real, 1 fake; N at least 1.
        scores: float [N] in 0..1.

    Raises:
        ValueError: there is no image.
    """
    if len(labels) == 0:
        raise ValueError("no image to evaluate")
    matrix = confusion_matrix(labels, scores >= 0.5, labels=[0, 1])
    at_threshold = confusion_matrix(labels, scores >= threshold, labels=[0, 1])
    reals, fakes = matrix.sum(axis=1).tolist()
    figures = {"accuracy": np.trace(matrix) / len(labels)}
    if reals:
        figures["accuracy_real"] = matrix[0, 0] / reals
    if fakes:
        figures["accuracy_fake"] = matrix[1, 1] / fakes
    if reals and fakes:
        figures["balanced_accuracy"] = balanced_accuracy_score(labels, scores >= 0.5)
        false_positive, true_positive, _ = roc_curve(labels, scores, drop_intermediate=False)
        figures |= {
            "average_precision": average_precision_score(labels, scores),
            "roc_auc": roc_auc_score(labels, scores),
            "eer": equal_error_rate(false_positive, true_positive),
            "tpr_at_1pct_fpr": true_positive_at(false_positive, true_positive, 0.01),
            "tpr_at_5pct_fpr": true_positive_at(false_positive, true_positive, 0.05),
            **calibration(labels, scores),
        }
    elif reals:
        figures["false_positive_rate"] = matrix[0, 1] / reals
    figures |= {"threshold": threshold, "accuracy_at_threshold": np.trace(at_threshold) / len(labels)}
    if reals and fakes:
        figures["balanced_accuracy_at_threshold"] = balanced_accuracy_score(labels, scores >= threshold)
    if reals:
        figures["accuracy_real_at_threshold"] = at_threshold[0, 0] / reals
    if fakes:
        figures["accuracy_fake_at_threshold"] = at_threshold[1, 1] / fakes
    if not fakes:
        figures["false_positive_rate_at_threshold"] = at_threshold[0, 1] / reals
    return {name: round(float(value), 6) for name, value in figures.items()}


def calibration(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """How far the scores can be taken for probabilities: Brier score, expected calibration error, log loss (in nats)."""
    return {
        "brier": float(brier_score_loss(labels, scores)),
        "ece": expected_calibration_error(labels, scores),
        "log_loss": float(log_loss(labels, scores, labels=[0, 1])),
    }


def equal_error_rate(false_positive: np.ndarray, true_positive: np.ndarray) -> np.ndarray:
    """Where the ROC curve has as many reals called fake as fakes called real, on the straight line between its points.

    Args:
        false_positive, true_positive: float [..., G], rates along the curve from (0, 0) to (1, 1).

    Returns:
        float [...].
    """
    gap = (1 - true_positive) - false_positive  # falls from 1 to -1
    after = np.argmax(gap <= 0, axis=-1)[..., None]
    g0, g1 = (np.take_along_axis(gap, k, -1) for k in (after - 1, after))
    f0, f1 = (np.take_along_axis(false_positive, k, -1) for k in (after - 1, after))
    rate: np.ndarray = (f0 + g0 / (g0 - g1) * (f1 - f0))[..., 0]
    return rate


def true_positive_at(false_positive: np.ndarray, true_positive: np.ndarray, limit: float) -> np.ndarray:
    """The most fakes that a threshold finds with at most `limit` of the reals called fake: [..., G] -> [...].

    A threshold that exists, nothing between two: of 75 reals, 1 % allows none, and 5 % three.
    """
    found: np.ndarray = np.where(false_positive <= limit, true_positive, 0).max(axis=-1)
    return found


def reliability(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, mean score and part of fakes in each of `BINS` bins of equal width, (low, high]; NaN in an empty one."""
    place = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], scores)  # as sklearn.calibration.calibration_curve bins
    count = np.bincount(place, minlength=BINS)
    with np.errstate(invalid="ignore"):
        mean, part = (np.bincount(place, weights=values, minlength=BINS) / count for values in (scores, labels))
    return count, mean, part


def expected_calibration_error(labels: np.ndarray, scores: np.ndarray) -> float:
    """Mean over the images of |mean score - part of fakes| of their bin (Naeini et al. 2015).

    Bins of the probability of fake, those of the reliability diagram, and not of max(p, 1 - p) as for many classes.
    """
    count, mean, part = reliability(labels, scores)
    used = count > 0
    return float(np.abs(mean - part)[used] @ count[used] / count.sum())
