"""Figures by sub-folder of a class, such as one for each generator; a class without sub-folders has none."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fakeface.core.errors import printable
from fakeface.images.generators import first_apart
from fakeface.scoring.cautions import CHANCE
from fakeface.scoring.intervals import bootstrap, interval
from fakeface.scoring.markdown import figure_text, markdown_table
from fakeface.scoring.metrics import evaluate

CLASSES = ("real", "fake")
MOST = 30  # sub-folders of a class with a row of their own, the largest; more are hardly generators

# sub-folder -> images, and approach -> recall, roc_auc, their intervals' ends, and `guessing` where it is no better than that
Rows = dict[str, dict[str, Any]]


def sub_folders(paths: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """str [N], the class and the sub-folder of each image, such as `fake: 1_fake/stargan`; empty in a class without.

    Args:
        paths: POSIX, relative; labels: int [N]. Give all there are, not one split: what all of a class share is its own folder.
    """
    found = np.full(len(paths), "", dtype=object)
    for label, kind in enumerate(CLASSES):
        own = np.flatnonzero(labels == label)
        parents, _ = first_apart([paths[int(row)] for row in own])
        if len(set(parents)) > 1:
            names = [f"{kind}: {printable('/'.join(parts))}" for parts in parents]
            counts = Counter(names)
            known = {name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST]}
            others = f"{kind}: {len(counts) - MOST} other sub-folders"
            found[own] = [name if name in known else others for name in names]
    return found


def not_in_test(folders: np.ndarray, splits: np.ndarray) -> dict[str, str]:
    """Sub-folders without a test image, so without a row: where their images are, such as `120 images, all in train`.

    Args:
        folders: str [N] of all images (`sub_folders`); splits: str [N].
    """
    found = {}
    for folder in sorted(set(folders[folders != ""]) - set(folders[splits == "test"])):
        inside = splits[folders == folder]
        found[folder] = f"{len(inside)} images, all in {' and '.join(sorted(set(inside)))}"
    return found


def by_folder(
    folders: np.ndarray,
    labels: np.ndarray,
    scores: Mapping[str, np.ndarray],
    thresholds: Mapping[str, float],
    source: np.ndarray,
    *,
    resamples: int,
    seed: int,
    balanced: bool = False,
) -> Rows:
    """A row for each of the `folders` (`sub_folders`): its images called right at the threshold of the verdicts, and ROC-AUC
    against all images of the other class, where there are any; intervals by photo.

    `guessing`: an interval of ROC-AUC reaches down to chance, or the recall's low end and the other class's recall have a mean
    that does: so many would be called right by chance too, which few images cannot exclude.

    Args:
        balanced: also the balanced accuracy, with the images of the other class.
    """
    rows: Rows = {}
    for folder in sorted(set(folders[folders != ""])):
        inside = folders == folder
        label = int(labels[inside][0])
        rest = inside | (labels != label)
        figures = {"recall": f"accuracy_{CLASSES[label]}_at_threshold", "roc_auc": "roc_auc"}
        figures |= {"balanced_accuracy": "balanced_accuracy_at_threshold"} if balanced else {}
        beside = {name: values[rest] for name, values in scores.items()}
        drawn = bootstrap(labels[rest], beside, thresholds, source[rest], resamples=resamples, seed=seed)
        rows[folder] = {"images": int(inside.sum())}
        for name, values in beside.items():
            found = evaluate(labels[rest], values, thresholds[name])
            row = rows[folder][name] = {}
            for key, figure in figures.items():
                if figure in found:
                    span = interval(figure, drawn[name][figure], labels[rest], source[rest])
                    ends = {} if span is None else {f"{key}_low": round(span[0], 6), f"{key}_high": round(span[1], 6)}
                    row |= {key: found[figure]} | ends
            other = found.get(
                f"accuracy_{CLASSES[1 - label]}_at_threshold", 2
            )  # without the other class nothing is chance
            recall, area = (row.get(f"{key}_low", row.get(key, 1)) for key in ("recall", "roc_auc"))
            if (recall + other) / 2 <= CHANCE or area <= CHANCE:
                row["guessing"] = True
    return rows


def markdown(rows: Rows, names: Sequence[str], untested: Mapping[str, str] | None = None) -> str:
    """For people; empty without rows. `untested`: of `not_in_test`."""
    without = "".join(f"\nNot in test: {folder}, {words}.\n" for folder, words in (untested or {}).items())
    if not rows:
        return f"\n## By sub-folder\n{without}" if without else ""
    cells = [
        [folder.replace("|", "\\|"), f"{row['images']}", *(row_text(row[name]) for name in names)]
        for folder, row in rows.items()
    ]
    words = "Images classified correctly at the val threshold; ROC-AUC against all images of the other class."
    return f"\n## By sub-folder\n\n{markdown_table(['', 'images', *names], cells)}\n\n{words}\n{without}"


def row_text(row: Mapping[str, float]) -> str:
    """90.0 % (80.1 to 95.3), AUC 0.950 (0.900 to 0.980), after a word where it is `guessing`."""
    parts = [
        words + figure_text((row[key], row.get(f"{key}_low"), row.get(f"{key}_high")), key == "recall")
        for key, words in (("recall", ""), ("roc_auc", "AUC "))
        if key in row
    ]
    return "no better than guessing: " * ("guessing" in row) + ", ".join(parts)
