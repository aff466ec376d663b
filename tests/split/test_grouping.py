"""Groups by folder or pattern: one side each, photos whole inside, both classes alike."""

import json
import signal
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import tiny_on_faces

from fakeface.core.errors import UserError
from fakeface.split import grouping
from fakeface.split.grouping import check_names, group_names, together

STEMS = ["anna/1", "anna/x/2", "3", "vid-004-00", "vid-010-00", "Bob_Lee_0001"]
PATTERNS = {
    "photo": ["", "", "", "", "", ""],
    "none": ["", "", "", "", "", ""],
    "folder": ["anna", "anna/x", "", "", "", ""],
    "^(?P<group>[^-]+)-": ["", "", "", "vid", "vid", ""],
    r"^(?P<group>.*)_\d+$": ["", "", "", "", "", "Bob_Lee"],
    "(?P<group>anna)?": ["anna", "anna", "", "", "", ""],
}


@pytest.mark.parametrize("group_by", PATTERNS)
def test_names_of_groups(group_by):
    assert group_names(STEMS, group_by) == PATTERNS[group_by]


def test_a_thread_of_a_program_groups_too():
    found = ThreadPoolExecutor(1).submit(group_names, ["anna/1", "b"], "(?P<group>anna)").result()
    assert found == ["anna", ""]


def test_a_pattern_that_would_never_end_is_stopped(monkeypatch):
    """Each further letter doubles the time: 60 are some 10^10 seconds."""
    monkeypatch.setattr(grouping, "SECONDS", 0.2)
    with pytest.raises(UserError, match=r"split\.group_by = .*: the pattern takes more than"):
        group_names(["a" * 60 + "!"], "^(?P<group>(a+)+)$")
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)
    assert signal.getsignal(signal.SIGVTALRM) == signal.SIG_DFL


def test_unicode_forms_of_a_folder_are_one():
    assert len(set(group_names([unicodedata.normalize(form, "Zoé/1") for form in ("NFC", "NFD")], "folder"))) == 1


def test_groups_join_photos_across_classes():
    source = np.array([0, 1, 2, 3, 0, 4])  # row 4 is a fake of row 0
    assert together(source, ["a", "a", "b", "", "", "b"]).tolist() == [0, 0, 1, 2, 0, 1]
    assert together(source, [""] * 6).tolist() == source.tolist()


@pytest.mark.parametrize(("group_by", "words"), [("folder", "sub-folder"), ("(?P<group>x)", "matches no path")])
def test_no_group_at_all_is_an_error(group_by, words):
    with pytest.raises(UserError, match=words) as caught:
        check_names(["", ""], group_by)
    assert "split.group_by" in str(caught.value)
    check_names(["", "a"], group_by)
    check_names(["", ""], "photo")


def test_a_grouped_split_keeps_persons_whole_and_says_so(tmp_path):
    """Of 24 pairs 12 belong to three persons, told by their names; the others are a photo each."""
    project = tiny_on_faces(tmp_path, split={"group_by": "^(?P<group>[a-c])"})
    for path in sorted((project.path / "data/raw").rglob("*.jpg")):
        if int(path.stem) < 12:
            path.rename(path.with_stem(f"{'abc'[int(path.stem) % 3]}{path.stem}"))
    result = project.run("python", "-m", "stages.split")
    summary = json.loads((project.path / "reports/split/summary.json").read_text())
    assert (summary["photos"], summary["groups"], summary["largest_group"]) == (24, 15, 8)
    assert summary["images_without_group"] == 24
    assert "24 images match no group of split.group_by" in result.stdout
    rows = [line.split(",") for line in (project.path / "data/split/manifest.csv").read_text().splitlines()[1:]]
    for person in "abc":
        mine = [row for row in rows if row[0].split("/")[1].startswith(person)]
        assert len(mine) == 8
        assert (
            len({row[4] for row in mine}) == len({row[3] for row in mine}) == 1
        )  # split, and source: what intervals resample
