"""The probes find what was planted, stay at chance where nothing is, and their intervals are wide enough."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.dummy import DummyClassifier

from fakeface.audit import probes
from fakeface.audit.facts import file_facts
from fakeface.audit.probes import (
    Probe,
    apart,
    folds_by_source,
    forest,
    linear,
    metadata_features,
    probe,
    shares,
    widest_gap,
)

PAIRS = 60
LABELS = np.repeat([0, 1], PAIRS)
SOURCE = np.tile(np.arange(PAIRS), 2)
JPEG = {"kind": "JPEG", "quality": 85}


@pytest.fixture(autouse=True)
def small_forests(monkeypatch):
    """A fifth of the trees: these tests plant what any forest finds."""
    monkeypatch.setattr(probes, "TREES", 20)


def facts(real, fake, seed=0):
    """Facts of `PAIRS` files a class, the same noise level in both; `real` and `fake` say how they are written."""
    rng = np.random.default_rng(seed)
    rows = []
    for label, how in enumerate((real, fake)):
        for k in range(PAIRS):
            options = dict(how(k) if callable(how) else how)
            side = options.pop("side", 48)
            levels = rng.normal(128, rng.uniform(5, 50), (side, side, 3))
            file = io.BytesIO()
            Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).save(file, options.pop("kind"), **options)
            rows.append({"label": label, "split": "train"} | file_facts(file.getvalue(), 50))
    return pd.DataFrame(rows)


def measure(table, seed=0):
    """Probes of metadata and file size."""
    fold = folds_by_source(LABELS, SOURCE, 3, seed)
    sizes = table[["bytes"]].to_numpy(float)
    return [probe(forest(seed), features, LABELS, SOURCE, fold, seed) for features in (metadata_features(table), sizes)]


@pytest.mark.parametrize(("reals", "fakes", "expected"), [(30, 20, (30, 20)), (31, 20, (30, 20)), (90, 500, (30, 30))])
def test_a_large_class_is_probed_in_part_and_a_small_one_whole(reals, fakes, expected, monkeypatch):
    monkeypatch.setattr(probes, "MOST_IMAGES", 30)
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1], [reals, fakes]))
    rows = probes.probed(labels, 0)
    assert np.bincount(labels[rows]).tolist() == list(expected)
    assert (np.diff(rows) > 0).all()
    assert np.array_equal(rows, probes.probed(labels, 0))
    if len(rows) < len(labels) - 1:
        assert not np.array_equal(rows, probes.probed(labels, 1))
        assert rows.mean() == pytest.approx(len(labels) / 2, rel=0.2)  # from the whole set, not its start


PLANTED = {
    "format": (JPEG, {"kind": "PNG"}),
    "quality": (JPEG, JPEG | {"quality": 75}),
    "tables": (JPEG, JPEG | {"qtables": [[9] * 64, [9] * 64]}),
    "subsampling": (JPEG, JPEG | {"subsampling": "4:4:4"}),
    "size": (JPEG, JPEG | {"side": 64}),
    "a size in the middle": (lambda k: JPEG | {"side": 40 + k % 20}, JPEG | {"side": 50}),
    "progressive": (JPEG, JPEG | {"progressive": True}),
    "EXIF": (JPEG, JPEG | {"exif": b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00"}),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_difference_in_the_files_is_found(fault):
    metadata, _ = measure(facts(*PLANTED[fault]))
    assert metadata.above(0.65), metadata


@pytest.mark.parametrize("how", [JPEG, {"kind": "PNG"}, lambda k: JPEG | {"quality": 70 + k % 20, "side": 40 + k % 7}])
def test_files_of_one_history_pass(how):
    for result in measure(facts(how, how)):
        assert not result.above(0.65), result


def test_larger_files_of_one_class_are_found():
    table = facts(JPEG, JPEG)
    table["bytes"] += 3000 * table["label"]
    metadata, size = measure(table)
    assert size.above(0.65)
    assert not metadata.above(0.65)  # it does not see the file size


def test_file_sizes_in_a_band_are_found_too():
    """Reals of many sizes, fakes of nearly one: no threshold tells them apart."""
    table = facts(JPEG, JPEG)
    table.loc[table["label"] == 1, "bytes"] = 3000 + np.arange(PAIRS) % 10
    table.loc[table["label"] == 0, "bytes"] = np.linspace(1000, 5000, PAIRS).astype(int)
    assert measure(table)[1].above(0.65)


def test_random_labels_are_at_chance_in_about_95_of_100():
    """Independent photos; the interval should miss 0.5 in few of 40 tries."""
    missed = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        labels, source = rng.permutation(LABELS), np.arange(len(LABELS))
        x = rng.normal(size=(len(labels), 5))
        result = probe(linear(), x, labels, source, folds_by_source(labels, source, 5, seed), seed)
        missed += not result.low <= 0.5 <= result.high
    assert missed <= 8


def test_images_of_one_photo_teach_nothing_about_each_other():
    """The features name the photo and every photo has its own label: only a split of photos could be fooled."""
    rng = np.random.default_rng(0)
    source = np.repeat(np.arange(40), 10)
    labels = rng.permutation(np.repeat([0, 1], 20))[source]
    x = rng.normal(size=(40, 8))[source] + rng.normal(size=(400, 8)) * 0.01
    grouped = probe(forest(0), x, labels, source, folds_by_source(labels, source, 5, 0), 0)
    leaky = probe(forest(0), x, labels, np.arange(400), folds_by_source(labels, np.arange(400), 5, 0), 0)
    assert leaky.accuracy > 0.95
    assert grouped.low < 0.5 < grouped.high
    assert grouped.high - grouped.low > leaky.high - leaky.low  # 40 photos say less than 400 images would


def test_the_same_seed_gives_the_same_figures():
    table = facts(JPEG, JPEG)
    assert measure(table, seed=3) == measure(table, seed=3)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12)), min_size=4, max_size=60), st.integers(2, 6))
@settings(max_examples=60, deadline=None)
def test_folds_keep_photos_whole_and_both_classes_to_train_on(rows, folds):
    labels, source = np.array(rows).T
    if len(set(labels.tolist())) < 2:
        return
    fold = folds_by_source(labels, source, folds, 0)
    if fold is None:
        return
    assert len(np.unique(fold)) >= 2
    for photo in np.unique(source):
        assert len(np.unique(fold[source == photo])) == 1
    for k in np.unique(fold):
        assert set(labels[fold != k].tolist()) == {0, 1}


def test_too_few_photos_are_not_measured():
    labels, source = np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2])
    assert folds_by_source(labels, source, 5, 0) is None
    result = probe(linear(), np.zeros((4, 1)), labels, source, None, 0)
    assert result == Probe(None, None, None)
    assert not result.above(0.5)


def test_a_probe_that_is_always_right_has_the_exact_interval_of_its_photos():
    fold = folds_by_source(LABELS, SOURCE, 5, 0)
    result = probe(linear(), LABELS[:, None].astype(float), LABELS, SOURCE, fold, 0)
    assert result == Probe(1.0, round(0.025 ** (1 / PAIRS), 4), 1.0)  # Clopper & Pearson with all of PAIRS right


def test_a_probe_that_gives_one_answer_is_at_chance_for_sure():
    fold = folds_by_source(LABELS, SOURCE, 5, 0)
    assert probe(DummyClassifier(), LABELS[:, None], LABELS, SOURCE, fold, 0) == Probe(0.5, 0.5, 0.5)


def test_shares_and_the_widest_gap_name_the_difference():
    table = facts(JPEG, lambda k: {"kind": "PNG"} if k % 4 else JPEG)
    assert shares(table, "format").to_dict("index") == {
        "JPEG": {"real": 1, "fake": 0.25},
        "PNG": {"real": 0, "fake": 0.75},
    }
    assert widest_gap(table).startswith("format (JPEG: 100 % of the reals, 25 % of the fakes)")
    assert widest_gap(facts(JPEG, JPEG)) == "no single property"


def test_generators_are_probed_one_by_one_against_all_reals():
    labels = np.repeat([0, 1], [30, 65])
    generators = np.array([""] * 30 + ["a"] * 40 + ["b"] * 20 + ["few"] * 4 + [""], dtype=object)
    found = dict(apart(generators, labels))
    assert list(found) == ["a", "b"]
    assert found["b"].tolist() == [*range(30), *range(70, 90)]
    assert dict(apart(np.where(generators == "a", "a", ""), labels)) == {}  # one alone is all fakes
    persons = np.array([""] * 30 + [f"p{k % 12}" for k in range(65)], dtype=object)
    assert dict(apart(persons, labels)) == {}
