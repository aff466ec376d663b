"""Detectors trained without one generator: their figures next to those of the full training."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from fakeface.scoring.folders import by_folder


def leave_out_figures(
    test: pd.DataFrame, trainings: Mapping[str, tuple[np.ndarray, float]], *, resamples: int, seed: int
) -> dict[str, Any]:
    """Trained without - scored on, of one approach: for each generator its test fakes and all test reals.

    Args:
        test: a row a test image: label, source, generator.
        trainings: the generator left out, or "" for the training on all -> scores [n] and threshold.

    Returns:
        `trained_on_all`: generator -> images, recall, roc_auc and balanced_accuracy, at the threshold of val, with the ends of
        their 95 % intervals by photo; `trained_without`: generator left out -> the same; `left_out`: mean and least ROC-AUC on
        what was left out.
    """
    keys = {
        generator: f"without {generator}" for generator in trainings
    }  # in addition to `images`, which may also be the name of a generator
    labels, source = test["label"].to_numpy(), test["source"].to_numpy(dtype=str)
    scores = {keys[name]: values for name, (values, _) in trainings.items()}
    thresholds = {keys[name]: threshold for name, (_, threshold) in trainings.items()}
    rows = by_folder(
        test["generator"].to_numpy(), labels, scores, thresholds, source, resamples=resamples, seed=seed, balanced=True
    )
    found = {
        name: {generator: {"images": row["images"]} | row[key] for generator, row in rows.items()}
        for name, key in keys.items()
    }
    whole = found.pop("")
    areas = [of[name]["roc_auc"] for name, of in found.items()]
    left_out = {"mean_roc_auc": round(float(np.mean(areas)), 6), "worst_roc_auc": min(areas)}
    return {"trained_on_all": whole, "trained_without": found, "left_out": left_out}
