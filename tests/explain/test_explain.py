"""Which images are shown as right, wrong, easy and hard: worked examples, and lists that must add up."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakeface.core.errors import UserError
from fakeface.explain.calls import EXTREMES, GROUPS, Calls, error_table, evenly_spaced, read_test_scores, wrong_in_all
from fakeface.images.store import COLUMNS, Dataset

LABELS = np.array([0, 1, 0, 1, 1, 0])
SCORES = np.array([0.1, 0.2, 0.9, 0.3, 0.8, 0.3])
CALLS = Calls(LABELS, SCORES, 0.3)
PATHS = np.array(["0_real/a", "1_fake/a", "0_real/b", "1_fake/b", "1_fake/c", "0_real/c"], dtype=object)


def test_groups_extremes_and_errors_of_a_worked_example():
    groups = {f"{true} {called}": places.tolist() for (true, called), places in CALLS.groups().items()}
    assert groups == {"fake fake": [4, 3], "fake real": [1], "real real": [0], "real fake": [2, 5]}
    assert {name: places.tolist() for name, places in CALLS.extremes(2).items()} == {
        "hardest fake": [1, 3],
        "easiest fake": [4, 3],
        "hardest real": [2, 5],
        "easiest real": [0, 5],
    }
    assert CALLS.errors().tolist() == [2, 1, 5]
    assert CALLS.counts() == {
        "threshold": 0.3,
        "errors": 3,
        "fake_called_fake": 2,
        "fake_called_real": 1,
        "real_called_real": 1,
        "real_called_fake": 2,
    }


def test_the_table_of_errors_and_what_all_get_wrong():
    other = Calls(LABELS, np.array([0.2, 0.1, 0.6, 0.7, 0.7, 0.1]), 0.5)
    table = error_table(PATHS, {"scratch": CALLS, "finetune": other})
    assert table.to_csv(index=False).splitlines() == [
        "approach,path,label,score",
        "scratch,0_real/b,0,0.9",
        "scratch,1_fake/a,1,0.2",
        "scratch,0_real/c,0,0.3",
        "finetune,1_fake/a,1,0.1",
        "finetune,0_real/b,0,0.6",
    ]
    assert wrong_in_all({"scratch": CALLS, "finetune": other}).tolist() == [
        1,
        2,
    ]  # 0.8 + 0.9 from the truth, then 0.9 + 0.6
    assert wrong_in_all({"scratch": CALLS, "finetune": Calls(LABELS, LABELS * 1.0, 0.5)}).tolist() == []


CASES = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])), min_size=1, max_size=40
)


@given(CASES, st.sampled_from([0.1, 0.5, 1.0]), st.integers(1, 6))
def test_every_image_is_in_one_group_and_the_lists_are_in_order(cases, threshold, count):
    labels, scores = (np.array(column) for column in zip(*cases, strict=True))
    calls = Calls(labels, scores, threshold)
    groups = calls.groups()
    assert list(groups) == list(GROUPS)
    assert sorted(np.concatenate(list(groups.values())).tolist()) == list(range(len(labels)))
    for (true, called), places in groups.items():
        for place in places:
            assert labels[place] == (true == "fake")
            assert (scores[place] >= threshold) == (called == "fake")
        towards = np.diff(scores[places])
        assert (towards <= 0).all() if called == "fake" else (towards >= 0).all()
    wrong = calls.errors()
    assert sorted(wrong.tolist()) == sorted([*groups["fake", "real"].tolist(), *groups["real", "fake"].tolist()])
    assert (np.diff(np.abs(scores - labels)[wrong]) <= 0).all()
    found = calls.extremes(count)
    assert list(found) == list(EXTREMES)
    for name, places in found.items():
        which, true = name.split()
        of = np.abs(scores - labels)[labels == (true == "fake")]
        assert len(places) == min(count, len(of))
        expected = np.sort(of)[:count] if which == "easiest" else np.sort(of)[::-1][:count]
        assert np.abs(scores - labels)[places].tolist() == expected.tolist()


@given(st.integers(0, 50), st.integers(1, 12))
def test_examples_are_spread_from_the_first_to_the_last(number, count):
    chosen = evenly_spaced(np.arange(number), count)
    assert len(chosen) == len(set(chosen.tolist())) == min(number, count)
    assert (np.diff(chosen) > 0).all()
    if min(number, count) > 1:
        assert chosen[0] == 0
        assert chosen[-1] == number - 1


@pytest.fixture
def split(tmp_path):
    """Two val and three test images, and predictions of one approach."""
    manifest = pd.DataFrame(
        {"path": ["0_real/nan", "a,b", "c", "d", "e"], "split": ["val", "test", "test", "val", "test"]}
    )
    dataset = Dataset(tmp_path / "split", manifest.reindex(columns=COLUMNS), None)
    # evaluate writes val first
    table = manifest.iloc[[0, 3, 1, 2, 4]].assign(label=0, score_scratch=[0.9, 0.8, 0.0, 0.25, 1.0])
    return dataset, table, tmp_path / "predictions.csv"


def read(split, table=None):
    dataset, good, path = split
    (good if table is None else table).to_csv(path, index=False)
    return read_test_scores(path, dataset, ("scratch",))


def test_only_test_rows_are_read(split):
    assert read(split)["scratch"].tolist() == [0.0, 0.25, 1.0]


def test_predictions_that_do_not_fit_are_refused_in_one_line(split):
    dataset, table, path = split
    cases = {
        "its test images differ from those of": table.iloc[:-1],
        "differ from those": table.iloc[[0, 1, 3, 2, 4]],
        "a score is not between 0 and 1": table.assign(score_scratch=[0, 0, 0.5, 1.5, 1]),
        "not readable as scores": table.assign(score_scratch=["0", "0", "0.5", "high", "1"]),
        "has no column score_scratch": table.drop(columns="score_scratch"),
        "has no column split": table.drop(columns="split"),
    }
    for words, bad in cases.items():
        with pytest.raises(UserError, match=words) as refused:
            read(split, bad)
        assert "\n" not in str(refused.value)
        assert "run `dvc repro evaluate`" in str(refused.value)
    for content in (b"", b"\xff\xfe\x00", b'path,split\n"a'):
        path.write_bytes(content)
        with pytest.raises(UserError):
            read_test_scores(path, dataset, ("scratch",))
    path.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        read_test_scores(path, dataset, ("scratch",))
    with pytest.raises(UserError, match="not between"):
        read(split, table.assign(score_scratch=["0", "0", "0.5", "nan", "1"]))
