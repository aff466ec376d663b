"""McNemar and Holm on worked examples, and sentences that say no more than the tests do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from fakeface.scoring.comparison import ALPHA, compare, holm, mcnemar
from fakeface.scoring.intervals import bootstrap


def pairs_of(labels, scores, source=None, resamples=500):
    source = np.arange(len(labels)) if source is None else source
    resampled = bootstrap(labels, scores, {name: 0.5 for name in scores}, source, resamples=resamples, seed=0)
    return compare(labels, scores, source, resampled)


def right(labels, which):
    """Scores that are right where `which` is, wrong elsewhere."""
    return np.where(which, labels, 1 - labels) * 0.8 + 0.1


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (8, 1, 2 * (1 + 9) / 2**9), (3, 3, 1.0), (0, 6, 2 / 64)],
)
def test_mcnemar_on_worked_examples(only_a, only_b, p):
    a = np.array([True] * only_a + [False] * only_b + [True] * 10 + [False] * 4)
    b = np.array([False] * only_a + [True] * only_b + [True] * 10 + [False] * 4)
    assert mcnemar(a, b) == (only_a, only_b, pytest.approx(p))


@given(data=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_mcnemar_is_the_doubled_tail_and_the_same_both_ways(data):
    a, b = np.array(data).T
    only_a, only_b, p = mcnemar(a, b)
    n = only_a + only_b
    assert p == pytest.approx(min(1, 2 * binom.cdf(min(only_a, only_b), n, 0.5)) if n else 1)
    assert mcnemar(b, a) == (only_b, only_a, pytest.approx(p))


def test_holm_on_a_worked_example():
    """0.01 * 4, 0.02 * 3, then 0.03 * 2 and 0.04 * 1 = 0.04, which may not fall below what came before."""
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_the_order(p):
    corrected = holm(p)
    assert all(a - 1e-12 <= b <= min(1, a * len(p)) + 1e-12 for a, b in zip(p, corrected, strict=True))
    assert all(corrected[i] <= corrected[j] + 1e-12 for i in range(len(p)) for j in range(len(p)) if p[i] < p[j])


def test_99_7_against_100_on_1000_images_is_no_difference():
    labels, wrong = np.tile([0, 1], 500), np.arange(1000) < 3
    [pair] = pairs_of(labels, {"a": right(labels, ~wrong), "b": right(labels, ~wrong | wrong)}, np.arange(1000) // 2)
    assert (pair.only_a, pair.only_b, pair.p, pair.shown) == (0, 3, 0.25, False)
    assert pair.difference == pytest.approx(-0.003)
    assert pair.sentence.startswith("b and a: no difference shown on 1000 images of 500 photos: 100.0 against 99.7 %")


def test_a_large_difference_is_shown_the_better_one_first():
    labels = np.tile([0, 1], 100)
    worse = np.arange(200) % 4 > 0
    pairs = pairs_of(labels, {"low": right(labels, worse), "high": right(labels, worse | True)})
    assert pairs[0].shown
    assert pairs[0].sentence.startswith(
        "high is better than low on 200 images of 200 photos: 100.0 against 75.0 %, +25.0 points, 95 % interval +"
    )
    assert "50 images only high has right, 0 only low" in pairs[0].sentence


def test_equal_detectors_have_no_interval_and_no_difference():
    labels = np.tile([0, 1], 20)
    [pair] = pairs_of(labels, {"a": labels * 1.0, "b": labels * 0.8 + 0.1})
    assert (pair.difference, pair.low, pair.high, pair.p, pair.shown) == (0, None, None, 1.0, False)
    assert "no difference shown on 40 images of 40 photos; each has 100.0 %" in pair.sentence


def test_one_image_shows_nothing():
    [pair] = pairs_of(np.array([1]), {"a": np.array([0.9]), "b": np.array([0.1])})
    assert not pair.shown
    assert "1 image of 1 photo:" in pair.sentence


def test_images_of_one_photo_are_not_taken_for_many_witnesses():
    """Ten images more right, all of one photo: McNemar alone would call it a difference."""
    labels, gained = np.tile([0, 1], 100), np.arange(200) < 10
    source = np.where(gained, 0, np.arange(200))
    [pair] = pairs_of(labels, {"a": right(labels, gained | ~gained), "b": right(labels, ~gained)}, source)
    assert pair.p_holm < ALPHA
    assert not pair.shown


def test_three_pairs_are_corrected_together():
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 200)
    scores = {name: right(labels, rng.random(400) < share) for name, share in (("a", 0.8), ("b", 0.86), ("c", 0.9))}
    pairs, exchanged = pairs_of(labels, scores), pairs_of(labels, dict(reversed(scores.items())))
    assert {pair.sentence for pair in pairs} == {pair.sentence for pair in exchanged}
    assert [(pair.a, pair.b) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [pair.p_holm for pair in pairs] == pytest.approx(holm([pair.p for pair in pairs]))
    for pair in pairs:
        assert pair.low < pair.difference < pair.high


def test_without_any_difference_few_are_shown():
    """300 pairs of detectors that are equally good: at most some 5 % may be called different."""
    rng, shown = np.random.default_rng(1), 0
    labels, source = np.tile([0, 1], 60), np.arange(120) // 2
    for _ in range(300):
        scores = {name: right(labels, rng.random(120) < 0.85) for name in "ab"}
        shown += pairs_of(labels, scores, source, resamples=200)[0].shown
    assert shown / 300 <= 0.06
