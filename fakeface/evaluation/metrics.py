"""Figures of a detector on a labelled set. Scores are probabilities of fake (class 1); scikit-learn does the counting."""

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score


def evaluate(labels: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, Any]:
    """One approach on one set.

    `accuracy`, `accuracy_real`, `accuracy_fake` (recall of each class) and `confusion` are at 0.5, the article's way;
    `accuracy_at_threshold` is at `threshold`, which was chosen on val. Fractions, rounded to 6 decimals.

    Args:
        labels: int [N], 0 real, 1 fake; both present.
        scores: float [N] in 0..1.
    """
    matrix = confusion_matrix(labels, scores >= 0.5, labels=[0, 1])
    (real_as_real, real_as_fake), (fake_as_real, fake_as_fake) = matrix.tolist()
    figures = {
        "accuracy": (real_as_real + fake_as_fake) / len(labels),
        "accuracy_real": real_as_real / (real_as_real + real_as_fake),
        "accuracy_fake": fake_as_fake / (fake_as_real + fake_as_fake),
        "average_precision": average_precision_score(labels, scores),
        "roc_auc": roc_auc_score(labels, scores),
        "threshold": threshold,
        "accuracy_at_threshold": float(np.mean((scores >= threshold) == labels)),
    }
    return {name: round(float(value), 6) for name, value in figures.items()} | {
        "confusion": {
            "real_as_real": real_as_real,
            "real_as_fake": real_as_fake,
            "fake_as_real": fake_as_real,
            "fake_as_fake": fake_as_fake,
        },
        "n_test": len(labels),
    }
