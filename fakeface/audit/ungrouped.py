"""Whether names suggest that images belong together which the split takes apart: frames of a video, photos of one person."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fakeface.audit.verdict import Finding
from fakeface.images.store import SPLITS
from fakeface.split.grouping import group_names

# The name without its last number, its last two, its last three: what is common to the frames of a recording.
NUMBER, ANOTHER = r"\d+", r"[^/\d]+\d+"
PATTERNS = [rf"^(?P<group>.*[^/\d]){NUMBER}{ANOTHER * k}$" for k in range(3)]
LEAST = 3  # images that have a name in common
GENERATORS = (
    10  # sub-folders of fakes, at most, that are taken for one generator each, whose fakes need not stay together
)


def ungrouped(stems: Sequence[str], labels: np.ndarray, split: np.ndarray) -> list[Finding]:
    """A warning where most images of a class share the first part of their names, or sub-folders, with others across splits.

    Args:
        stems: paths without suffix, relative to the class folder; labels: int [N]; split: str [N].
    """
    for label, kind in enumerate(("real", "fake")):
        mine = (labels == label) & np.isin(split, SPLITS)
        table = pd.DataFrame({"stem": np.array(stems, dtype=object)[mine], "split": split[mine]})
        found = _common(table, "folder")
        if found and (label == 0 or len(found) > GENERATORS):
            return [_finding(f"{len(found)} sub-folders of the {kind} images", found, "folder")]
        for pattern in PATTERNS:
            if found := _common(table, pattern):
                return [
                    _finding(f"{len(found)} names with running numbers of the {kind} images", found, f"'{pattern}'")
                ]
    return []


def _common(table: pd.DataFrame, group_by: str) -> list[str]:
    """The groups of `LEAST` images or more, if there are two and they hold half of the images, and one is in several splits."""
    group = np.array(group_names(table["stem"].tolist(), group_by), dtype=object)
    groups = table[group != ""].groupby(group[group != ""])["split"].agg(["size", "nunique"])
    groups = groups[groups["size"] >= LEAST]
    enough = len(groups) >= 2 and 2 * groups["size"].sum() >= len(table) and (groups["nunique"] > 1).any()
    return groups.index.tolist() if enough else []


def _finding(what: str, found: list[str], value: str) -> Finding:
    some = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
    text = (
        f"{what} ({some}) stand in several splits: if each is one person or one recording, faces of train are in test"
    )
    return Finding(
        "warn", text, f"set split.group_by: {value} in params.yaml; leave it if they are only sources or numbers."
    )
