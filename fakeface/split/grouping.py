"""Groups that people name, persons or videos: `split.group_by`, a folder each or by a pattern on the path."""

import re
import signal
import threading
import unicodedata
from collections.abc import Sequence

import numpy as np

from fakeface.core.errors import UserError
from fakeface.images.listing import given_split
from fakeface.split.pairs import first_equal, join

SECONDS = 10  # of processor time, for a pattern on all paths; a million take two


def group_names(stems: Sequence[str], group_by: str) -> list[str]:
    """The group of each image, "" for one that is in none. Both classes share their groups: a person has reals and fakes.

    Args:
        stems: paths without suffix, relative to the class folder, POSIX. A first folder train, val or test does not count.
        group_by: photo or none (no groups), folder, or a pattern with a group named `group`, searched in the path.

    Raises:
        UserError: the pattern takes more than `SECONDS` in the main thread, which alone gets signals.
    """
    stems = [given_split(unicodedata.normalize("NFC", stem))[1] for stem in stems]
    if group_by in ("photo", "none"):
        return [""] * len(stems)
    if group_by == "folder":
        return [stem.rpartition("/")[0] for stem in stems]

    def stop(*_: object) -> None:
        remedy = "it has nested repeats, such as (a+)+; write it without them"
        raise UserError(
            f"params.yaml: split.group_by = {group_by!r}: the pattern takes more than {SECONDS} seconds; {remedy}"
        )

    if (
        threading.current_thread() is not threading.main_thread()
    ):  # of a program that uses fakeface; signals are not for it
        return [(match["group"] or "") if match else "" for match in (re.search(group_by, stem) for stem in stems)]
    before = signal.signal(signal.SIGVTALRM, stop)  # Python's re looks for signals while it searches
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        found = [re.search(group_by, stem) for stem in stems]
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return [(match["group"] or "") if match else "" for match in found]


def check_names(names: Sequence[str], group_by: str) -> None:
    """Raises UserError when groups are asked for and no image is in any."""
    if group_by not in ("photo", "none") and not any(names):
        what = "no image is in a sub-folder of its class" if group_by == "folder" else "matches no path"
        remedy = "a pattern is searched in the path below the class folder, such as anna/0001"
        raise UserError(f"params.yaml: split.group_by = {group_by!r}: {what}; {remedy}; or set photo")


def together(source: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """`source` (int64 [N], photos) after joining the images of each named group, so that photos stay whole too."""
    rows = np.array([i for i, name in enumerate(names) if name], dtype=np.int64)
    return join(source, rows[first_equal(names[i] for i in rows)], rows)
