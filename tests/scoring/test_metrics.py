"""Every figure against a second, naive implementation; the score is the probability of fake."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import brentq
from scipy.special import softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_curve

from fakeface.detector.calibration import best_threshold, scores_from_logits
from fakeface.scoring import evaluate as stage
from fakeface.scoring import metrics
from fakeface.scoring.metrics import evaluate

QUICK = settings(max_examples=100, deadline=None)
UNIT = st.floats(0, 1)


@st.composite
def scored(draw, score):
    """Labels with both classes, and a score each."""
    n = draw(st.integers(2, 30))
    labels = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n).filter(lambda y: 0 < sum(y) < len(y)))
    return np.array(labels), np.array(draw(st.lists(score, min_size=n, max_size=n)))


TIED = scored(st.integers(0, 8).map(lambda i: i / 8))  # many equal scores, 0, 0.5 and 1 among them
ANY = scored(UNIT)


def naive_average_precision(labels, scores):
    total, before = 0.0, 0.0
    for cut in sorted(set(scores), reverse=True):
        called = [y for y, s in zip(labels, scores, strict=True) if s >= cut]
        recall = sum(called) / sum(labels)
        total += (recall - before) * sum(called) / len(called)
        before = recall
    return total


def naive_roc_auc(labels, scores):
    fakes = [s for y, s in zip(labels, scores, strict=True) if y == 1]
    reals = [s for y, s in zip(labels, scores, strict=True) if y == 0]
    return sum((f > r) + 0.5 * (f == r) for f in fakes for r in reals) / (len(fakes) * len(reals))


def balanced(labels, scores, threshold):
    called = scores >= threshold
    return (called[labels == 1].mean() + (~called[labels == 0]).mean()) / 2


@given(logits=hnp.arrays(np.float32, (7, 2), elements=st.floats(-60, 60, width=32)))
@QUICK
def test_scores_are_the_softmax_of_class_1(logits):
    assert np.allclose(scores_from_logits(logits), softmax(logits.astype(np.float64), axis=1)[:, 1], atol=1e-15)


def test_huge_logits_neither_overflow_nor_warn():
    with np.errstate(all="raise"):
        scores = scores_from_logits(np.array([[0, 1e30], [1e30, 0], [-1e4, 1e4]], dtype=np.float32))
    assert scores.tolist() == [1.0, 0.0, 1.0]
    assert scores.dtype == np.float64


def test_worked_example():
    """Reals 0.1, 0.6, 0.3; fakes 0.9, 0.4: one real called fake, one fake called real."""
    got = evaluate(np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.6, 0.3, 0.9, 0.4]), threshold=0.35)
    assert got["accuracy"] == 0.6
    assert got["accuracy_real"] == 0.666667
    assert got["accuracy_fake"] == 0.5
    assert got["roc_auc"] == 0.833333  # 5 of 6 pairs in order
    assert got["average_precision"] == 0.833333  # 1/2 * 1/1 + 1/2 * 2/3
    assert got["accuracy_at_threshold"] == 0.8
    assert got["threshold"] == 0.35


@given(data=TIED | ANY, threshold=UNIT)
@QUICK
def test_figures_are_those_of_plain_counting(data, threshold):
    labels, scores = data
    got = evaluate(labels, scores, threshold)
    right = [(s >= 0.5) == y for y, s in zip(labels, scores, strict=True)]
    real = [r for r, y in zip(right, labels, strict=True) if y == 0]
    fake = [r for r, y in zip(right, labels, strict=True) if y == 1]
    assert got["accuracy"] == pytest.approx(sum(right) / len(right), abs=1e-6)
    assert got["accuracy_real"] == pytest.approx(sum(real) / len(real), abs=1e-6)
    assert got["accuracy_fake"] == pytest.approx(sum(fake) / len(fake), abs=1e-6)
    assert got["average_precision"] == pytest.approx(naive_average_precision(labels, scores), abs=1e-6)
    assert got["roc_auc"] == pytest.approx(naive_roc_auc(labels, scores), abs=1e-6)
    at = [(s >= threshold) == y for y, s in zip(labels, scores, strict=True)]
    assert got["accuracy_at_threshold"] == pytest.approx(sum(at) / len(at), abs=1e-6)


def test_accuracy_of_integers_is_a_fraction():
    """799 of 800 is 0.99875, not 0 and not 1."""
    labels = np.repeat([0, 1], 400)
    scores = labels.astype(float)
    scores[0] = 1.0
    got = evaluate(labels, scores, 0.5)
    assert (got["accuracy"], got["accuracy_real"]) == (0.99875, 0.9975)
    assert all(type(value) is float for value in got.values())


def naive_eer(labels, scores):
    """Where the ROC polyline meets the diagonal from (0, 1) to (1, 0), found by a root finder."""
    false_positive, true_positive, _ = roc_curve(labels, scores, drop_intermediate=False)
    # by the length along the curve, since the polyline has upright pieces
    along = np.concatenate([[0], np.cumsum(np.diff(false_positive) + np.diff(true_positive))])

    def gap(x):
        return 1 - np.interp(x, along, true_positive) - np.interp(x, along, false_positive)

    return np.interp(brentq(gap, 0, 2), along, false_positive)


def naive_rate_at(labels, scores, limit):
    reals, fakes = scores[labels == 0], scores[labels == 1]
    cuts = [np.inf, *scores]
    return max((fakes >= cut).mean() for cut in cuts if (reals >= cut).mean() <= limit)


def naive_ece(labels, scores, bins=15):
    total = 0.0
    for k in range(bins):
        inside = [
            i for i, s in enumerate(scores) if (k / bins < s or k == 0) and (s <= (k + 1) / bins or k == bins - 1)
        ]
        if inside:
            total += len(inside) / len(scores) * abs(np.mean(scores[inside]) - np.mean(labels[inside]))
    return total


@given(
    data=scored(st.integers(0, 20).map(lambda i: i / 20)) | ANY
)  # no score of 20 steps lies on an inner edge of 15 bins
@QUICK
def test_eer_rates_and_calibration_are_those_of_second_implementations(data):
    labels, scores = data
    got = evaluate(labels, scores, 0.5)
    assert got["eer"] == pytest.approx(naive_eer(labels, scores), abs=2e-6)
    assert got["tpr_at_1pct_fpr"] == pytest.approx(naive_rate_at(labels, scores, 0.01), abs=1e-6)
    assert got["tpr_at_5pct_fpr"] == pytest.approx(naive_rate_at(labels, scores, 0.05), abs=1e-6)
    assert got["ece"] == pytest.approx(naive_ece(labels, scores), abs=1e-6)
    assert got["brier"] == pytest.approx(
        sum((s - y) ** 2 for s, y in zip(scores, labels, strict=True)) / len(labels), abs=1e-6
    )
    likely = np.clip([s if y else 1 - s for s, y in zip(scores, labels, strict=True)], np.finfo(float).eps, 1)
    assert got["log_loss"] == pytest.approx(-sum(math.log(p) for p in likely) / len(labels), abs=2e-6)
    assert got["balanced_accuracy"] == pytest.approx(balanced(labels, scores, 0.5), abs=1e-6)


def test_rate_at_a_limit_uses_the_limit_whole_and_never_more():
    """100 reals: 1 % are one real, 5 % five."""
    labels = np.array([0] * 100 + [1] * 10)
    reals = np.append(np.linspace(0.0, 0.3, 94), [0.90, 0.91, 0.92, 0.93, 0.94, 0.95])
    fakes = np.array([0.99, 0.98, 0.945, 0.935, 0.925, 0.915, 0.905, 0.5, 0.4, 0.1])
    got = evaluate(labels, np.concatenate([reals, fakes]), 0.5)
    assert got["tpr_at_1pct_fpr"] == 0.3  # one real at 0.95 lets in 0.945
    assert got["tpr_at_5pct_fpr"] == 0.7  # five reals, down to above 0.90


def test_reliability_bins_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.random(200), [0.0, 1.0, 1 / 15, 0.2]])
    labels = (rng.random(204) < scores).astype(int)
    count, mean, part = metrics.reliability(labels, scores)
    wanted_part, wanted_mean = calibration_curve(labels, scores, n_bins=15)
    assert count.sum() == 204
    assert np.allclose(mean[count > 0], wanted_mean)
    assert np.allclose(part[count > 0], wanted_part)


EVERY = ("balanced_accuracy", "eer", "tpr_at_1pct_fpr", "tpr_at_5pct_fpr", "brier", "ece", "log_loss")


@pytest.mark.parametrize(
    ("scores", "wanted"),
    [
        ([0.0, 0.0, 1.0, 1.0], [1, 0, 1, 1, 0, 0, 0]),
        ([1.0, 1.0, 0.0, 0.0], [0, 1, 0, 0, 1, 1, -math.log(np.finfo(float).eps)]),  # bounded, not infinite
        ([0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0, 0, 0.25, 0, math.log(2)]),
    ],
    ids=["all right", "all wrong", "all tied"],
)
def test_the_ends_of_every_figure(scores, wanted):
    got = evaluate(np.array([0, 0, 1, 1]), np.array(scores), 0.5)
    assert [got[key] for key in EVERY] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("n", [1, 5])
def test_reals_alone_give_the_false_positive_rate(n):
    scores = np.linspace(0.1, 0.9, n) if n > 1 else np.array([0.7])
    got = evaluate(np.zeros(n, dtype=int), scores, 0.95)
    assert got["accuracy"] == got["accuracy_real"] == pytest.approx((scores < 0.5).mean())
    assert got["false_positive_rate"] == pytest.approx(1 - got["accuracy"])
    assert (got["accuracy_at_threshold"], got["false_positive_rate_at_threshold"]) == (1.0, 0.0)
    assert not {"accuracy_fake", "roc_auc", "average_precision", *EVERY} & set(got)


@pytest.mark.parametrize("n", [1, 5])
def test_fakes_alone_give_their_recall(n):
    got = evaluate(np.ones(n, dtype=int), np.full(n, 0.7), 0.8)
    assert (got["accuracy"], got["accuracy_fake"], got["accuracy_fake_at_threshold"]) == (1.0, 1.0, 0.0)
    assert not {"accuracy_real", "false_positive_rate", "roc_auc", "average_precision", *EVERY} & set(got)


def test_no_image_is_refused():
    with pytest.raises(ValueError, match="no image"):
        evaluate(np.array([], dtype=int), np.array([]), 0.5)


def candidates(scores):
    """A threshold in every gap, one below all scores and one above."""
    values = np.unique(scores)
    return [values[0], *((values[:-1] + values[1:]) / 2), np.nextafter(values[-1], 2)]


ENDS = [0.0, 5e-324, 1e-9, 0.5, np.nextafter(0.5, 0), 1 - 2**-53, 1.0]


@given(data=TIED | scored(st.one_of(UNIT, st.sampled_from(ENDS))))
@QUICK
def test_threshold_is_as_good_as_any_also_for_scores_next_to_each_other_and_at_the_ends(data):
    labels, scores = data
    best = max(balanced(labels, scores, cut) for cut in [*candidates(scores), *scores])
    assert balanced(labels, scores, best_threshold(labels, scores)) == pytest.approx(best)


@given(data=TIED | ANY)
@QUICK
def test_threshold_is_half_when_half_is_as_good(data):
    labels, scores = data
    threshold = best_threshold(labels, scores)
    if balanced(labels, scores, 0.5) >= balanced(labels, scores, threshold) - 1e-12:
        assert threshold == 0.5
    assert 0 <= threshold <= 1


@pytest.mark.parametrize(
    ("labels", "scores", "wanted"),
    [
        ([0, 1], [0.2, 0.9], 0.5),
        ([0, 1], [0.6, 0.8], 0.7),
        ([0, 1], [0.1, 0.3], 0.2),
        ([0, 0, 1, 1], [0.1, 0.7, 0.8, 0.9], 0.75),
        ([0, 1, 0, 1], [0.1, 0.2, 0.6, 0.7], 0.65),  # as good as 0.15, and nearer to 0.5
        ([0, 1], [0.4, 0.5], 0.5),
    ],
)
def test_threshold_stands_in_the_middle_of_its_gap(labels, scores, wanted):
    assert best_threshold(np.array(labels), np.array(scores)) == pytest.approx(wanted)


@pytest.mark.parametrize("most", [40, 10_000])
def test_a_long_roc_curve_is_thinned_and_a_short_one_whole(most, monkeypatch):
    monkeypatch.setattr(stage, "POINTS", most)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 2000)
    whole = np.stack(roc_curve(labels, scores := rng.normal(labels, 2))[:2], axis=1).round(6)
    found = stage.roc_points(labels, scores).to_numpy()
    assert len(found) == min(most, len(whole))
    assert found[[0, -1]].tolist() == [[0, 0], [1, 1]]
    assert {*map(tuple, found)} <= {*map(tuple, whole)}
    assert np.hypot(*np.diff(found, axis=0).T).max() < 0.1
