"""Properties of the split, whatever the groups: no photo on two sides, the asked numbers, one draw a seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakeface.core.errors import UserError
from fakeface.images.store import SPLITS, UNUSED
from fakeface.split.protocols import assign, check_filled, class_sizes, thin, twins_across

NAMES = ["data/0_real", "data/1_fake"]
PAIRED = (np.repeat([0, 1], 40), np.tile(np.arange(40), 2))
QUICK = settings(max_examples=80, deadline=None)


def counts(labels, split):
    return np.array([[((split == name) & (labels == c)).sum() for c in (0, 1)] for name in SPLITS])


@st.composite
def groupings(draw):
    """Labels and groups of any shape, at least ten images a class."""
    n = draw(st.integers(20, 80))
    labels = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)) + [0] * 10 + [1] * 10)
    groups = np.array(draw(st.lists(st.integers(0, n), min_size=n + 20, max_size=n + 20)))
    return labels, groups


@st.composite
def pairs_and_singles(draw):
    pairs = draw(st.integers(10, 40))
    real, fake = draw(st.integers(0, 20)), draw(st.integers(0, 20))
    labels = np.array([0] * pairs + [1] * pairs + [0] * real + [1] * fake)
    groups = np.concatenate([np.arange(pairs), np.arange(pairs), pairs + np.arange(real + fake)])
    return labels, groups


@given(data=groupings(), seed=st.integers(0, 2**31 - 1), rest=st.sampled_from(["train", UNUSED]))
@QUICK
def test_every_group_stands_on_one_side_and_no_split_is_overfull(data, seed, rest):
    labels, groups = data
    sizes = class_sizes("fractions", 0.6, 0.15, 0.25, np.bincount(labels).tolist(), NAMES)
    split = assign(labels, groups, sizes, rest=rest, seed=seed)
    assert len(split) == len(labels)
    assert set(split) <= {*SPLITS, UNUSED}
    for g in np.unique(groups):
        assert len(set(split[groups == g])) == 1
    got = counts(labels, split)
    for name, asked, has in zip(SPLITS, sizes, got, strict=True):
        few = rest == "train" and len(set(groups[split == name])) <= 2  # a split that had nothing took what there was
        assert few or name == "train" or (has <= asked).all()
    if rest == UNUSED:
        assert (got[0] <= sizes[0]).all()
    else:
        assert UNUSED not in set(split)


@given(data=pairs_and_singles(), share=st.none() | st.floats(0.1, 0.9), seed=st.integers(0, 1000))
@QUICK
def test_numbers_are_exact_for_pairs_and_singles(data, share, seed):
    """`share`: of the smaller class, in counts; None: fractions."""
    labels, groups = data
    available = np.bincount(labels).tolist()
    if share is None:
        sizes, rest = class_sizes("fractions", 0.6, 0.15, 0.25, available, NAMES), "train"
    else:
        sizes, rest = class_sizes("counts", max(int(min(available) * share) - 4, 1), 2, 2, available, NAMES), UNUSED
    split = assign(labels, groups, sizes, rest=rest, seed=seed)
    assert np.array_equal(counts(labels, split), sizes)


@given(n=st.tuples(st.integers(20, 5000), st.integers(20, 5000)), val=st.floats(0.1, 0.4), test=st.floats(0.1, 0.4))
@QUICK
def test_fractions_add_up_to_all_images(n, val, test):
    sizes = class_sizes("fractions", 1 - val - test, val, test, list(n), NAMES)
    assert sizes.sum(0).tolist() == list(n)
    assert (np.abs(sizes[1] - val * np.array(n)) <= 0.5).all()
    assert (np.abs(sizes[2] - test * np.array(n)) <= 0.5).all()


def test_fractions_below_one_leave_images_over():
    assert class_sizes("fractions", 0.5, 0.1, 0.2, [100, 200], NAMES).tolist() == [[50, 100], [10, 20], [20, 40]]


def test_same_seed_same_split_other_seed_another():
    labels, groups = PAIRED
    sizes = class_sizes("fractions", 0.6, 0.15, 0.25, [40, 40], NAMES)
    first, again, other = (assign(labels, groups, sizes, rest="train", seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_split_does_not_depend_on_how_groups_are_numbered():
    labels, groups = PAIRED
    sizes = class_sizes("fractions", 0.6, 0.15, 0.25, [40, 40], NAMES)
    assert np.array_equal(
        assign(labels, groups, sizes, rest="train", seed=0), assign(labels, groups * 7 + 3, sizes, rest="train", seed=0)
    )


def test_every_image_can_reach_every_split():
    labels, groups = PAIRED
    sizes = class_sizes("fractions", 0.5, 0.25, 0.25, [40, 40], NAMES)
    splits = np.array([assign(labels, groups, sizes, rest="train", seed=seed) for seed in range(60)])
    for k, name in enumerate(SPLITS):
        share = (splits == name).mean(0)
        assert share.min() > 0
        assert abs(share.mean() - sizes[k, 0] / 40) < 1e-9


def test_group_of_many_images_may_fall_into_any_split():
    labels = np.array([0] * 40 + [1] * 40)
    groups = np.concatenate([[0] * 6, 1 + np.arange(74)])
    sizes = class_sizes("fractions", 0.5, 0.25, 0.25, [40, 40], NAMES)
    chosen = [str(assign(labels, groups, sizes, rest="train", seed=seed)[0]) for seed in range(60)]
    assert set(chosen) == set(SPLITS)
    assert chosen.count("train") < 45


@pytest.mark.parametrize(
    ("protocol", "wanted"),
    [("article", [[1349, 1349], [150, 150], [500, 500]]), ("task", [[450, 450], [50, 50], [1499, 1499]])],
)
def test_the_articles_protocols_give_the_articles_counts(protocol, wanted):
    assert class_sizes(protocol, 0.6, 0.1, 0.25, [1999, 1999], NAMES).tolist() == wanted


def test_task_tests_all_other_images_of_each_class():
    assert class_sizes("task", 0.6, 0.1, 0.25, [600, 900], NAMES)[2].tolist() == [100, 400]


def test_the_articles_split_of_1999_pairs_leaks_unless_photos_stay_whole():
    labels, source = np.repeat([0, 1], 1999), np.tile(np.arange(1999), 2)
    sizes = class_sizes("article", 0.6, 0.1, 0.25, [1999, 1999], NAMES)
    whole, random = (assign(labels, g, sizes, rest=UNUSED, seed=0) for g in (source, np.arange(3998)))
    assert np.array_equal(counts(labels, whole), sizes)
    assert np.array_equal(counts(labels, random), sizes)
    assert twins_across(source, whole, "train") == twins_across(source, whole, "val") == 0
    assert 600 < twins_across(source, random, "train") < 750  # 1000 test images, 1349 of 1999 twins in train


@pytest.mark.parametrize(
    ("protocol", "sizes", "available", "named"),
    [
        ("counts", (10, 5, 5), [19, 100], "data/0_real"),
        ("counts", (10, 5, 5), [100, 19], "data/1_fake"),
        ("article", (0, 0.1, 0), [1998, 1999], "data/0_real"),
        ("task", (0, 0.1, 0), [500, 600], "data/0_real"),
        ("task", (0, 0.001, 0), [600, 600], "data/0_real"),
        ("fractions", (0.6, 0.15, 0.25), [100, 2], "data/1_fake"),
        ("fractions", (0.6, 0.15, 0.25), [1, 100], "data/0_real"),
        ("fractions", (0.001, 0.5, 0.499), [100, 100], "data/0_real"),
    ],
)
def test_too_few_images_are_one_line_that_names_the_folder(protocol, sizes, available, named):
    with pytest.raises(UserError, match=named) as caught:
        class_sizes(protocol, *sizes, available, NAMES)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_remedy_for_fractions_is_not_the_protocol_they_have(n):
    with pytest.raises(UserError) as caught:
        class_sizes("fractions", 0.6, 0.15, 0.25, [n, 100], NAMES)
    assert "set split.protocol: fractions" not in str(caught.value)


@given(
    source=st.lists(st.integers(0, 8), min_size=1, max_size=40),
    seed=st.integers(0, 100),
    other=st.sampled_from(["train", "val"]),
)
@QUICK
def test_twins_across_is_a_plain_count(source, seed, other):
    split = np.random.default_rng(seed).choice(["train", "val", "test", "unused"], len(source))
    wanted = 0
    for i, a in enumerate(source):
        wanted += split[i] == "test" and any(a == b and split[j] == other for j, b in enumerate(source))
    assert twins_across(np.array(source), split, other) == wanted


def test_check_filled_is_silent_when_exact_and_says_where_groups_did_not_fit():
    labels, groups = np.tile([0, 1], 10), np.repeat(np.arange(10), 2)
    sizes = np.array([[6, 6], [2, 2], [2, 2]])
    split = assign(labels, groups, sizes, rest="unused", seed=0)
    assert check_filled(labels, split, sizes, 2) == []
    more = np.array([[7, 7], [2, 2], [2, 2]])
    assert check_filled(labels, split, more, 2) == [
        "train has 6 real and 6 fake images, not 7 and 7: groups stay whole"
    ]


def test_a_split_that_large_groups_leave_empty_is_an_error():
    labels = np.array([0, 0, 1, 1, 1, 1] * 2)  # two persons
    groups = np.repeat(np.arange(2), 6)
    sizes = class_sizes("fractions", 0.5, 0.25, 0.25, [4, 8], ["r", "f"])
    split = assign(labels, groups, sizes, rest="train", seed=0)
    with pytest.raises(UserError, match="would have 0 real and 0 fake images: groups stay whole, the largest has 6"):
        check_filled(labels, split, sizes, 6)


@pytest.mark.parametrize("seed", range(20))
def test_few_large_groups_fill_every_split_when_they_can(seed):
    """Five persons of 40 images a class: val has room for 30 and takes one of them all the same."""
    for groups in (
        np.tile(np.repeat(np.arange(5), 40), 2),
        np.repeat(np.arange(10), 40),
    ):  # with reals and fakes, or either
        labels = np.repeat([0, 1], 200)
        sizes = class_sizes("fractions", 0.6, 0.15, 0.25, [200, 200], NAMES)
        split = assign(labels, groups, sizes, rest="train", seed=seed)
        assert (counts(labels, split) >= 40).all()
        assert all(len(set(split[groups == g])) == 1 for g in set(groups))


def test_a_val_set_that_cannot_tell_and_a_generator_that_is_not_tested_are_named():
    stems = [f"p{i // 10}/{i}" for i in range(100)] + [f"gan/{i}" for i in range(60)] + [f"few/{i}" for i in range(5)]
    labels = np.array([0] * 100 + [1] * 65)
    persons = np.arange(100) // 10
    source = np.concatenate([persons, 10 + np.arange(65)])
    splits = np.array(["train"] * 70 + ["val"] * 20 + ["test"] * 10 + ["train"] * 50 + ["val"] * 10 + ["train"] * 5)
    notes = thin(stems, labels, splits, source)
    assert len(notes) == 2
    assert "val has 2 photos or groups of a class, but 6 are needed" in notes[0]
    assert "no test image of these sub-folders of the fakes: gan (60);" in notes[1]
    source[:100] = np.arange(100)  # each a person of its own
    splits[100:103] = "test"
    assert thin(stems, labels, splits, source) == []
