"""One test decides, its interval agrees with it, and sentences say no more than it does."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from fakeface.scoring.comparison import ALPHA, compare


def pairs_of(labels, scores, source=None, thresholds=None):
    source = np.arange(len(labels)) if source is None else source
    return compare(labels, scores, thresholds or dict.fromkeys(scores, 0.5), source, seed=0)


def right(labels, which):
    """Scores that are right where `which` is, wrong elsewhere."""
    return np.where(which, labels, 1 - labels) * 0.8 + 0.1


@pytest.mark.parametrize(("only_a", "only_b"), [(1, 0), (5, 0), (6, 0), (8, 1), (3, 3), (0, 6), (17, 6), (20, 6)])
def test_on_images_of_as_many_photos_it_is_mcnemars_exact_test(only_a, only_b):
    n = 100
    a, b = np.ones(n, bool), np.ones(n, bool)
    a[only_a : only_a + only_b], b[:only_a] = False, False
    labels = np.tile([0, 1], n // 2)
    [pair] = pairs_of(labels, {"a": right(labels, a), "b": right(labels, b)})
    exact = binomtest(only_a, only_a + only_b).pvalue
    assert (pair.only_a, pair.only_b) == (only_a, only_b)
    assert pair.p == pytest.approx(exact, rel=0.15)  # of 10,000 draws
    assert pair.shown == (exact <= ALPHA)


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(2, 60),
    photos=st.integers(1, 60),
    shares=st.lists(st.floats(0.3, 1), min_size=2, max_size=3),
    fakes=st.floats(0.1, 0.9),
)
@settings(max_examples=60, deadline=None)
def test_sentence_p_and_interval_always_agree(seed, n, photos, shares, fakes):
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < fakes).astype(int)
    scores = {f"a{k}": right(labels, rng.random(n) < share) for k, share in enumerate(shares)}
    for pair in pairs_of(labels, scores, rng.integers(photos, size=n)):
        found = re.search(r"interval ([+-][\d.]+) to ([+-][\d.]+)", pair.sentence)
        apart = bool(found) and float(found[1]) * float(found[2]) > 0
        assert ("no difference shown" in pair.sentence) != pair.shown
        if pair.low is not None:
            assert pair.shown == (pair.p <= ALPHA) == (pair.low > 0 or pair.high < 0)
            assert pair.low - 1e-12 <= pair.difference <= pair.high + 1e-12
        assert pair.shown or not apart


def test_99_7_against_100_on_1000_images_is_no_difference():
    labels, wrong = np.tile([0, 1], 500), np.arange(1000) < 3
    [pair] = pairs_of(labels, {"a": right(labels, ~wrong), "b": right(labels, ~wrong | wrong)}, np.arange(1000) // 2)
    assert (pair.only_a, pair.only_b, pair.shown) == (0, 3, False)
    assert pair.difference == pytest.approx(-0.003)
    assert pair.sentence.startswith("b and a: no difference shown on 1000 images of 500 photos: 100.0 against 99.7 %")


def test_a_large_difference_is_shown_the_better_one_first():
    labels = np.tile([0, 1], 100)
    worse = np.arange(200) % 4 > 0
    [pair] = pairs_of(labels, {"low": right(labels, worse), "high": right(labels, worse | True)})
    assert pair.shown
    assert pair.sentence.startswith(
        "high is better than low on 200 images of 200 photos: 100.0 against 75.0 %, +25.0 points, interval +"
    )
    assert "50 images right in high only, 0 in low only" in pair.sentence


def test_an_answer_for_all_is_not_better_because_one_class_is_larger():
    """60 reals and 600 fakes: 91 % of the images against 75 %, and 50 % balanced against 75 %."""
    labels = np.repeat([0, 1], [60, 600])
    [pair] = pairs_of(labels, {"fake": np.full(660, 0.9), "both": right(labels, np.arange(660) % 4 > 0)})
    assert (pair.accuracy_a, pair.accuracy_b) == pytest.approx((0.5, 0.75))
    assert pair.sentence.startswith("both is better than fake on 660 images of 660 photos: 75.0 against 50.0 %")


def test_each_is_right_or_wrong_at_its_own_threshold():
    labels = np.tile([0, 1], 50)
    scores = {"a": 0.1 + 0.2 * labels, "b": 0.7 + 0.2 * labels}
    assert pairs_of(labels, scores)[0].accuracy_a == 0.5
    [pair] = pairs_of(labels, scores, thresholds={"a": 0.2, "b": 0.8})
    assert (pair.accuracy_a, pair.accuracy_b) == pytest.approx((1, 1))


def test_equal_detectors_have_no_interval_and_no_difference():
    labels = np.tile([0, 1], 20)
    [pair] = pairs_of(labels, {"a": labels * 1.0, "b": labels * 0.8 + 0.1})
    assert (pair.difference, pair.low, pair.high, pair.p, pair.shown) == (0, None, None, 1.0, False)
    assert "no difference shown on 40 images of 40 photos; each has 100.0 %" in pair.sentence


def test_two_images_show_nothing_and_one_class_is_not_compared():
    """Of one class alone whatever always gives that answer is the best."""
    scores = {"a": np.array([0.1, 0.9]), "b": np.array([0.9, 0.1])}
    [pair] = pairs_of(np.array([0, 1]), scores)
    assert not pair.shown
    assert "2 images of 2 photos:" in pair.sentence
    assert pairs_of(np.array([1, 1]), scores) == []


def test_images_of_one_photo_are_not_taken_for_many_witnesses():
    """Ten images more right are a difference, unless all are of one photo."""
    labels, gained = np.tile([0, 1], 100), np.arange(200) < 10
    scores = {"a": right(labels, gained | ~gained), "b": right(labels, ~gained)}
    assert pairs_of(labels, scores)[0].shown
    assert not pairs_of(labels, scores, np.where(gained, 0, np.arange(200)))[0].shown


def test_three_pairs_are_corrected_together():
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 200)
    scores = {name: right(labels, rng.random(400) < share) for name, share in (("a", 0.8), ("b", 0.86), ("c", 0.9))}
    pairs, exchanged = pairs_of(labels, scores), pairs_of(labels, dict(reversed(scores.items())))
    assert [(pair.a, pair.b) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [pair.shown for pair in pairs] == [pair.shown for pair in reversed(exchanged)]
    [alone] = pairs_of(labels, {name: scores[name] for name in "ab"})
    assert pairs[0].p == pytest.approx(3 * alone.p)
    assert pairs[0].low < alone.low < pairs[0].difference < alone.high < pairs[0].high


@pytest.mark.parametrize("images", [1, 4])
def test_without_any_difference_few_are_shown(images):
    """Pairs of detectors that are equally good, the images of a photo alike: at most some 5 % may be called different."""
    rng, shown = np.random.default_rng(1), 0
    labels, source = np.repeat(np.tile([0, 1], 30), images), np.repeat(np.arange(60) // 2, images)
    for _ in range(300):
        scores = {name: right(labels, np.repeat(rng.random(60) < 0.85, images)) for name in "ab"}
        shown += pairs_of(labels, scores, source)[0].shown
    assert shown / 300 <= 0.06
