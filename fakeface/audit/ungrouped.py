"""Whether names suggest that the split separates images that belong together: frames of a video, photos of one person."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fakeface.audit.persons import FEW, as_yaml, refusal, without_generators
from fakeface.audit.verdict import Finding
from fakeface.images.store import SPLITS, UNUSED
from fakeface.split.grouping import group_names

# The name without its last number, its last two, its last three: what is common to the frames of a recording.
NUMBER, ANOTHER = r"\d+", r"[^/\d]+\d+"
PATTERNS = [rf"^(?P<group>.*[^/\d]){NUMBER}{ANOTHER * k}$" for k in range(3)]
LEAST = 3  # images that have a name in common


def ungrouped(
    stems: Sequence[str], labels: np.ndarray, split: np.ndarray, source: np.ndarray, seed: int
) -> list[Finding]:
    """A warning where most images of a class share the first part of their names, or sub-folders, with others across splits.

    Args:
        stems: paths without suffix, relative to the class folder; labels: int [N]; split: str [N]; source: int64 [N], photos;
        seed: of the split, which is made again to see whether it takes the line that is proposed.
    """
    sizes = np.array([[((split == name) & (labels == label)).sum() for label in (0, 1)] for name in SPLITS])
    rest = UNUSED if UNUSED in split else "train"

    def finding(what: str, found: list[str], group_by: str) -> list[Finding]:
        value = without_generators(stems, labels ^ label, group_by)
        some = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        text = f"{what} ({some}) are in several splits: if each is one person or recording, test has faces that are also in train"
        line = f"split.group_by: {as_yaml(value)}"
        remedy = f"set {line} in params.yaml, unless they are only sources or numbers."
        if reason := refusal(stems, labels, source, value, sizes, rest, seed):
            remedy = f"add faces of other people, since with {line} {reason}; ignore this if they are only sources or numbers."
        return [Finding("warn", text, remedy)]

    for label, kind in enumerate(("real", "fake")):
        mine = (labels == label) & np.isin(split, SPLITS)
        table = pd.DataFrame({"stem": np.array(stems, dtype=object)[mine], "split": split[mine]})
        found = _common(table, "folder")
        if found and (label == 0 or len(found) > FEW):
            return finding(f"{len(found)} sub-folders of the {kind} images", found, "folder")
        for pattern in PATTERNS:
            if found := _common(table, pattern):
                return finding(f"{len(found)} names with running numbers of the {kind} images", found, pattern)
    return []


def _common(table: pd.DataFrame, group_by: str) -> list[str]:
    """The groups of `LEAST` images or more, if there are two and they hold half of the images, and one is in several splits."""
    group = np.array(group_names(table["stem"].tolist(), group_by), dtype=object)
    groups = table[group != ""].groupby(group[group != ""])["split"].agg(["size", "nunique"])
    groups = groups[groups["size"] >= LEAST]
    enough = len(groups) >= 2 and 2 * groups["size"].sum() >= len(table) and (groups["nunique"] > 1).any()
    return groups.index.tolist() if enough else []
