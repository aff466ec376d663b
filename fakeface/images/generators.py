"""Which program made a fake: its sub-folder of the fake class."""

from collections.abc import Sequence
from itertools import takewhile
from pathlib import PurePosixPath

import numpy as np

from fakeface.core.errors import UserError, printable
from fakeface.core.params import ALL, nearest
from fakeface.images.listing import GIVEN

ALIGNED = "aligned"  # where the stage of this name puts its fakes, below the fake class


def first_apart(paths: Sequence[str]) -> tuple[list[tuple[str, ...]], int]:
    """The folders of each path, down to the first level at which they differ, and how many levels all share.

    A level of `GIVEN` folders (train, test) is left out.
    """
    parents = [PurePosixPath(path).parts[:-1] for path in paths]
    shared = _shared(parents)
    if all(len(parts) > shared and parts[shared].lower() in GIVEN for parts in parents):
        parents = [parts[:shared] + parts[shared + 1 :] for parts in parents]
        shared = _shared(parents)
    return [parts[: shared + 1] for parts in parents], shared


def generators(paths: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """str [N] (object), the generator of each fake; empty for reals, for fakes outside sub-folders, and if there are none.

    Args:
        paths: POSIX, relative; labels: int [N], 0 real, 1 fake. Give all there are, not one split.
    """
    found = np.full(len(paths), "", dtype=object)
    own = np.flatnonzero(labels == 1)
    folders, shared = first_apart([paths[int(row)] for row in own])
    if shared and ALIGNED in folders[0][:shared]:  # the folders below it are the photos' own
        return found
    found[own] = [parts[shared] if len(parts) > shared else "" for parts in folders]
    return found


def to_leave_out(wanted: Sequence[str], found: np.ndarray, data: str) -> list[str]:
    """The generators that `wanted` names, evaluate.leave_out or a part of it, of those in `found` (`generators`).

    Raises:
        UserError: there are fewer than two, or none of a name.
    """
    known = sorted(set(found.tolist()) - {""})
    if len(known) < 2:
        there = f"has one generator, {known[0]}" if known else "has no generators"
        raise UserError(
            f"params.yaml: evaluate.leave_out = {list(wanted)}: {printable(data)} {printable(there)}; put the fakes of "
            "each of two or more into a sub-folder of the fake class, or set evaluate.leave_out: []"
        )
    if list(wanted) == [ALL]:
        return known
    for name in wanted:
        if name not in known:
            said = printable(nearest(name, known))
            raise UserError(
                f"params.yaml: evaluate.leave_out: {name!r} is not a generator in {printable(data)}; {said}"
            )
    return list(wanted)


def _shared(parents: list[tuple[str, ...]]) -> int:
    return sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, zip(*parents, strict=False)))
