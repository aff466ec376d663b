"""Generators are the sub-folders of the fake class, with a ready-made split or without; they are left out and balanced."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakeface.core.errors import UserError
from fakeface.detector.calibration import class_weights
from fakeface.images.generators import generators, to_leave_out
from fakeface.images.store import COLUMNS, UNUSED, Dataset
from fakeface.variants.train import without

SPLITS = ["train", "val", "test", UNUSED]


def found(*paths):
    return generators(paths, np.array([int("fake" in path) for path in paths])).tolist()


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        (["real/a/1.jpg", "real/b/1.jpg", "fake/1.jpg", "fake/2.jpg"], ["", "", "", ""]),
        (["fake/sg2/1.jpg", "fake/sg2/2.jpg"], ["", ""]),
        (["fake/sg2/1.jpg", "fake/star/x/1.jpg", "fake/star/y/1.jpg", "fake/1.jpg"], ["sg2", "star", "star", ""]),
        (["train/fake/sg2/1.jpg", "Test/fake/sg2/1.jpg", "test/fake/star/1.jpg"], ["sg2", "sg2", "star"]),
        (["fake/train/sg2/1.jpg", "fake/val/star/1.jpg"], ["sg2", "star"]),
        (["train/fake/1.jpg", "test/fake/1.jpg"], ["", ""]),
        (["fake/aligned/ann/1.jpg", "fake/aligned/bob/1.jpg"], ["", ""]),
        (["fake/aligned/ann/1.jpg", "fake/star/1.jpg"], ["aligned", "star"]),
        (["c/fake/b\n/1.jpg", "c/fake/é/1.jpg"], ["b\n", "é"]),
        ([], []),
    ],
)
def test_the_first_level_at_which_fakes_differ_is_their_generator(paths, wanted):
    assert found(*paths) == wanted


@pytest.mark.parametrize(
    ("wanted", "known", "answer"),
    [
        (
            ["star"],
            [],
            "evaluate.leave_out = ['star']: data/raw has no generators; put the fakes of each of two or more into",
        ),
        (["all"], ["star"], "data/raw has one generator, star; put"),
        (
            ["sg2", "stra"],
            ["star", "sg2"],
            "evaluate.leave_out: 'stra' is not a generator in data/raw; did you mean star?",
        ),
        (["x"], ["a\x1b", "b"], "allowed here: a\\x1b, b"),
    ],
)
def test_what_cannot_be_left_out_is_said(wanted, known, answer):
    with pytest.raises(UserError) as error:
        to_leave_out(wanted, np.array(["", *known], dtype=object), "data/raw")
    assert answer in str(error.value)


def test_all_are_left_out_in_turn():
    assert to_leave_out(["all"], np.array(["b", "", "a", "b", "all"], dtype=object), "data/raw") == ["a", "all", "b"]
    assert to_leave_out(["b"], np.array(["b", "a"], dtype=object), "data/raw") == ["b"]


images = st.tuples(st.sampled_from(["", "a", "b", "c"]), st.sampled_from(SPLITS))


def dataset(rows):
    paths = [f"{'1_fake' if name else '0_real'}/{name}/{number}.jpg" for number, (name, _) in enumerate(rows)]
    values = [(p, int(bool(n)), "", p, split, 1, 1, "JPEG") for p, (n, split) in zip(paths, rows, strict=True)]
    return Dataset("data/split", pd.DataFrame(values, columns=COLUMNS), None)


@given(st.lists(images, min_size=1, max_size=60), st.sampled_from(["a", "b", "c"]))
def test_no_row_of_the_generator_is_trained_on_and_no_other_row_moves(rows, name):
    data = dataset(rows)
    before, own = data.manifest.copy(), data.generators == name
    left = {split for other, split in rows if other not in ("", name)}
    if not {"train", "val"} <= left or (name, "test") not in rows:
        with pytest.raises(UserError):
            without(data, name)
        return
    after = without(data, name)
    assert not after["split"][own].isin(["train", "val"]).any()
    assert (after["split"] == "test").equals(before["split"] == "test")
    assert after[~own].equals(before[~own])
    assert after.drop(columns="split").equals(before.drop(columns="split"))
    assert data.manifest.equals(before)


@given(st.lists(images, min_size=1, max_size=60))
def test_each_generator_has_the_same_part_of_the_fakes_weight(rows):
    data = dataset(rows)
    before = data.manifest.copy()
    groups = data.groups("generator")
    assert (np.minimum(groups, 1) == data.labels).all()
    assert len(set(groups[groups > 0])) == len(set(data.generators[groups > 0]))
    assert (data.groups("class") == data.labels).all()
    assert data.manifest.equals(before)
    weights = class_weights(groups)
    if len(set(np.minimum(groups, 1))) == 2:
        sums = np.bincount(groups) * (1 if weights is None else weights)
        assert sums[0] == pytest.approx(len(groups) / 2)
        assert sums[1:] == pytest.approx(np.full(len(sums) - 1, len(groups) / 2 / (len(sums) - 1)))
    else:
        assert weights is None
