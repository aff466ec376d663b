"""A split that the data folder brings along: found above and below the class folders, kept, and what it tears is counted."""

import json

import numpy as np
import pytest
from conftest import tiny_on_faces

from fakeface.core.errors import UserError
from fakeface.images.listing import given_split
from fakeface.split.protocols import keep_given

PARTS = (("Train", 12), ("valid", 18), ("TEST", 24))  # up to which number


def move(folder, above, torn=0):
    """Files into folders of a split; `torn`: so many fakes of train go to test instead."""
    for path in sorted(folder.rglob("*.jpg")):
        kind, number = path.parent.name, int(path.stem)
        part = next(name for name, end in PARTS if number < end)
        part = "TEST" if kind == "1_fake" and number < torn else part
        new = folder / part / kind if above else folder / kind / part
        new.mkdir(parents=True, exist_ok=True)
        path.rename(new / path.name)
    for empty in ("0_real", "1_fake") if above else ():
        (folder / empty).rmdir()


@pytest.mark.parametrize(("above", "torn"), [(True, 0), (False, 0), (True, 3)])
def test_a_given_split_is_kept_and_twins_across_it_are_counted(tmp_path, above, torn):
    project = tiny_on_faces(tmp_path, split={"protocol": "folders"})
    move(project.path / "data/raw", above, torn)
    result = project.run("python", "-m", "stages.split")
    summary = json.loads((project.path / "reports/split/summary.json").read_text())
    sizes = [summary[name] for name in ("train", "val", "test")]
    assert sizes == [{"real": 12, "fake": 12 - torn}, {"real": 6, "fake": 6}, {"real": 6, "fake": 6 + torn}]
    assert summary["groups_in_several_given_splits"] == summary["test_images_with_twin_in_train"] == torn
    assert summary["left_out"] == {}
    assert ("3 photos or groups are in several of the given splits" in result.stdout) == bool(torn)
    rows = [line.split(",") for line in (project.path / "data/split/manifest.csv").read_text().splitlines()[1:]]
    wanted = {"Train": "train", "valid": "val", "TEST": "test"}
    assert all(wanted[row[0].split("/")[0 if above else 1]] == row[4] for row in rows)
    project.run("python", "-m", "stages.audit")
    project.set(split={"protocol": "fractions"})
    assert "split.protocol: folders keeps it" in project.run("python", "-m", "stages.split").stdout


def test_without_val_a_part_of_train_becomes_it_by_whole_groups():
    stems = [f"train/{k}" for k in range(40)] + [f"testing/{k}" for k in range(10)]
    labels, groups = np.tile([0, 1], 25), np.repeat(np.arange(25), 2)
    split = keep_given(stems, labels, groups, 0.25, 0)
    assert [int((split == name).sum()) for name in ("train", "val", "test")] == [30, 10, 10]
    assert all(len(set(split[groups == g])) == 1 for g in range(25))
    assert (split[40:] == "test").all()


@pytest.mark.parametrize(
    ("stems", "words"),
    [(["train/1", "2"], "2 is in none"), (["train/1"], "no test"), (["val/1"], "no test and no train")],
)
def test_what_a_given_split_lacks_is_said(stems, words):
    with pytest.raises(UserError, match=words):
        keep_given(stems, np.array([0] * len(stems)), np.arange(len(stems)), 0.2, 0)


@pytest.mark.parametrize(
    ("stem", "wanted"),
    [
        ("Validation/a/1", ("val", "a/1")),
        ("train", ("", "train")),
        ("train_1/2", ("", "train_1/2")),
        ("a/test/1", ("", "a/test/1")),
    ],
)
def test_only_a_first_folder_of_that_name_is_a_split(stem, wanted):
    assert given_split(stem) == wanted
