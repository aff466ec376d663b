"""The robustness table: which images it uses, its mean and worst case, its budget, and the Markdown version.

A table is tidy: a row for each approach and cell, with the columns `approach`, `cell`, FIGURES, and where they are known `low`
and `high`, the 95 % interval of VERDICTS by photo, and `images`, their number.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from fakeface.core.errors import UserError
from fakeface.scoring.markdown import figure_text, markdown_table

VERDICTS = "balanced_accuracy_at_threshold"  # the one that is shown
# Accuracy and recalls at 0.5; ..._at_threshold at the threshold that was chosen on clean val images.
FIGURES = [
    "accuracy",
    "accuracy_at_threshold",
    VERDICTS,
    "accuracy_real",
    "accuracy_fake",
    "average_precision",
    "roc_auc",
]


def choose_images(labels: np.ndarray, sources: np.ndarray, images: int, seed: int) -> np.ndarray:
    """Which test images are perturbed: int64 places in `labels`, in order; whole photos in an order that `seed` shuffles.

    Args:
        labels: int [N], 0 real, 1 fake.
        sources: str [N], the photo that an image comes from.
        images: at most so many a class; 0 takes all.

    Raises:
        UserError: no photo has few enough images, so a class would be empty.
    """
    if images == 0:
        return np.arange(len(labels))
    photos, photo = np.unique(sources, return_inverse=True)
    counts = np.stack([np.bincount(photo[labels == label], minlength=len(photos)) for label in (0, 1)], 1)
    room, taken = np.array([images, images]), np.zeros(len(photos), dtype=bool)
    order, total = np.random.default_rng(seed).permutation(len(photos)), counts.sum(0)
    if (
        total[0] != total[1]
    ):  # first the photos of the rarer class: the other one's would leave no room for their fakes or reals
        order = order[np.argsort(counts[order, int(total[1] < total[0])] == 0, kind="stable")]
    for number in order:
        if (counts[number] <= room).all():  # a photo with more images than there is room for is left out
            taken[number] = True
            room = room - counts[number]
    if not counts[taken].any(0).all():
        raise UserError(
            f"params.yaml: robustness.images = {images}: too few for one photo with both classes; "
            "raise it, or set it to 0 for all images"
        )
    return np.flatnonzero(taken[photo])


def worst_cases(table: pd.DataFrame) -> dict[str, Any]:
    """Per approach and figure: clean, the mean over all cells (clean is one of them), the worst, and in which cell."""
    result: dict[str, Any] = {}
    for approach, rows in table.set_index("cell").groupby("approach", sort=False):
        result[str(approach)] = {
            figure: {
                "clean": float(rows[figure]["clean"]),
                "mean": round(float(rows[figure].mean()), 6),
                "worst": float(rows[figure].min()),
                "worst_cell": str(rows[figure].idxmin()),
            }
            for figure in ("accuracy", "accuracy_at_threshold", VERDICTS, "average_precision", "roc_auc")
        }
    return result


def broken(table: pd.DataFrame, budget: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What each broken budget lost and may lose, the largest excess first; empty when all hold.

    Args:
        budget: approach -> cell -> points of VERDICTS (0.08 is 8 %) that it may lose against its own clean figure.
    """
    accuracy = table.set_index(["approach", "cell"])[VERDICTS].to_dict()
    found = []
    for approach, cells in budget.items():
        for cell, allowed in cells.items():
            clean, here = accuracy[approach, "clean"], accuracy[approach, cell]
            lost = clean - here
            if lost > allowed + 1e-6:  # figures are rounded to 6 decimals
                said = f"{lost:.3f} of balanced accuracy at {cell} ({clean:.3f} to {here:.3f}), allowed {allowed:g}"
                found.append((allowed - lost, f"{approach} loses {said}"))
    return [line for _, line in sorted(found)]


def markdown(table: pd.DataFrame) -> str:
    """VERDICTS in per cent with its interval, a cell a line, an approach a column; the mean and the worst below."""
    names = table["approach"].unique()
    rows = [
        [
            str(cell),
            *(figure_text((row[VERDICTS], row.get("low"), row.get("high")), unit="") for row in of.to_dict("records")),
        ]
        for cell, of in table.groupby("cell", sort=False)
    ]
    by_name = [table.loc[table["approach"] == name, VERDICTS] * 100 for name in names]
    rows += [
        ["**mean**", *(f"{of.mean():.1f}" for of in by_name)],
        ["**worst**", *(f"{of.min():.1f}" for of in by_name)],
    ]
    return markdown_table(["cell", *names], rows) + "\n"
