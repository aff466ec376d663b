"""The line of split.group_by that keeps persons or recordings together and does not group the images of a generator."""

import os
import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from fakeface.core.errors import UserError
from fakeface.images.listing import given_split
from fakeface.split.grouping import group_names, together
from fakeface.split.protocols import assign, check_filled

FEW = 10  # sub-folders of a class, at most, that are taken for its sources; those of fakes alone for generators


def without_generators(stems: Sequence[str], labels: np.ndarray, group_by: str = "folder") -> str:
    """`group_by`, or where a few of its groups are of fakes alone, and so may be generators, a pattern that does not group these.

    Fakes in a folder of a person, below their generator's (`stylegan/person_00`), go with that person.

    Args:
        stems: paths without suffix, relative to the class folder; labels: int [N], 0 for the class that persons are of, 1 for
        the other; group_by: folder, or a pattern from `^` on.
    """
    stems = [given_split(unicodedata.normalize("NFC", stem))[1] for stem in stems]
    names = np.array(group_names(stems, group_by), dtype=object)
    reals = sorted({*names[labels == 0]} - {""})
    folder = group_by == "folder"
    made = {name.partition("/")[0] if folder else name for name in {*names[labels == 1]} - {*reals, ""}}
    if not reals or not 0 < len(made) <= FEW:
        return group_by
    others = "|".join(map(re.escape, sorted(made)))
    if not folder:
        patterns = [f"^(?!{others}){group_by.removeprefix('^')}"]
    else:
        start = os.path.commonprefix(reals).rstrip("0123456789")  # noqa: RUF071  letter by letter
        if not all(name[len(start) :][:1].isdigit() for name in reals):
            start = re.sub(r"[^\W\d_]+$", "", start)  # anna and andy have two letters in common by chance
        # below many first folders lie the persons' recordings, below few, sources perhaps, the persons
        part = "[^/]+" if len({name.partition("/")[0] for name in reals}) > FEW else ".+"
        patterns = [rf"^(?P<group>{re.escape(start)}[^/]+)/"] * bool(start) + [
            r"^(?P<group>\d+)/",
            f"^(?:(?:{others})/)?+(?P<group>{part})/",
            f"^(?!(?:{others})/)(?P<group>{part})/",
        ]
    best, most = group_by, -1
    for pattern in patterns:
        found = np.array(group_names(stems, pattern), dtype=object)
        of_reals, of_fakes = found[labels == 0], found[labels == 1]
        kept = ((of_reals != "") == (names[labels == 0] != "")).all() and len({*of_reals} - {""}) > 1
        if kept and {*of_fakes} <= {*of_reals, ""} and (grouped := int((of_fakes != "").sum())) > most:
            best, most = pattern, grouped
    return best


def refusal(
    stems: Sequence[str], labels: np.ndarray, source: np.ndarray, group_by: str, sizes: np.ndarray, rest: str, seed: int
) -> str:
    """Why the split would refuse `group_by`; empty where it would not. `source`: int64 [N], photos; the rest as for `assign`."""
    groups = together(source, group_names(stems, group_by))
    split = assign(labels, groups, sizes, rest=rest, seed=seed)
    try:
        check_filled(labels, split, sizes, int(np.bincount(groups).max()))
    except UserError as error:
        return str(error).partition(";")[0]
    return ""


def as_yaml(group_by: str) -> str:
    """The value as params.yaml has it."""
    return group_by if group_by in ("folder", "photo", "none") else "'" + group_by.replace("'", "''") + "'"
