"""The temperature against scipy and worked examples; calibration moves no decision and no order."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.utils.class_weight import compute_sample_weight

from fakeface.detector.calibration import (
    TEMPERATURES,
    best_threshold,
    class_weights,
    doubts,
    fit_temperature,
    scores_from_logits,
    uncalibrated,
)


def logits_of(difference):
    return np.stack([np.zeros(len(difference)), difference], axis=1)


def overconfident(n, factor, seed):
    """Labels drawn from the true probabilities; logits that are `factor` times too large."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 1.5, n)
    labels = (rng.random(n) < expit(true)).astype(np.int64)
    return labels, logits_of(true * factor)


def smoothed_loss(log_temperature, labels, logits):
    """Platt's targets, written out with scipy; both classes count alike."""
    fakes = labels.sum()
    targets = np.where(labels == 1, (fakes + 1) / (fakes + 2), 1 / (len(labels) - fakes + 2))
    p = expit((logits[:, 1] - logits[:, 0]) / math.exp(log_temperature))
    weights = compute_sample_weight("balanced", labels)
    return -np.mean(weights * (targets * np.log(p) + (1 - targets) * np.log1p(-p)))


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("seed", range(3))
def test_temperature_is_the_one_scipy_finds(factor, seed):
    labels, logits = overconfident(300, factor, seed)
    wanted = minimize_scalar(
        smoothed_loss,
        bounds=tuple(np.log(TEMPERATURES)),
        args=(labels, logits),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert fit_temperature(labels, logits) == pytest.approx(math.exp(wanted.x), rel=1e-4)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_temperature_undoes_a_known_factor(factor):
    labels, logits = overconfident(20_000, factor, 0)
    assert fit_temperature(labels, logits) == pytest.approx(factor, rel=0.05)


def test_on_large_sets_smoothing_changes_next_to_nothing():
    labels, logits = overconfident(3000, 2.0, 1)
    plain = minimize_scalar(
        lambda t: np.mean(np.logaddexp(0, -(2 * labels - 1) * logits[:, 1] / math.exp(t))),
        bounds=(-3, 3),
        method="bounded",
    )
    assert fit_temperature(labels, logits) == pytest.approx(math.exp(plain.x), rel=0.01)


def test_what_is_perfectly_told_apart_is_not_made_certain():
    """45 + 45 images, all right: the score becomes Platt's 46/47, worked out by hand."""
    labels = np.tile([0, 1], 45)
    logits = logits_of(np.where(labels == 1, 9.0, -9.0))
    temperature = fit_temperature(labels, logits)
    assert temperature == pytest.approx(9 / math.log(46))
    assert scores_from_logits(logits, temperature)[1] == pytest.approx(46 / 47)


@pytest.mark.parametrize(
    ("labels", "difference", "bound"),
    [([0, 1], [5.0, -5.0], 1), ([0, 1], [-1e-6, 1e-6], 0), ([0, 1], [1e30, -1e30], 1)],
)
def test_temperature_stays_inside_its_bounds(labels, difference, bound):
    assert fit_temperature(np.array(labels), logits_of(np.array(difference))) == pytest.approx(TEMPERATURES[bound])


@given(difference=st.lists(st.floats(-30, 30), min_size=2, max_size=20), temperature=st.floats(*TEMPERATURES))
@settings(max_examples=100, deadline=None)
def test_temperature_moves_no_decision_and_no_order(difference, temperature):
    difference = np.array(difference)
    plain, scores = (scores_from_logits(logits_of(difference), t) for t in (1.0, temperature))
    clear = np.abs(difference) > 1e-12
    assert np.array_equal((plain >= 0.5)[clear], (scores >= 0.5)[clear])
    assert (np.diff(scores[np.argsort(difference)]) >= 0).all()


def test_uncalibrated_is_the_way_back_also_at_the_ends():
    scores = np.array([0.0, 0.001, 0.3, 0.5, 0.9, 1.0])
    assert np.allclose(uncalibrated(scores, 2.5), expit(2.5 * logit(scores)))
    difference = np.linspace(-8, 8, 17)
    assert np.allclose(uncalibrated(scores_from_logits(logits_of(difference), 0.7), 0.7), expit(difference))


def pairs_of(n, shift, images=1, seed=0):
    """`n` photos with `images` equal reals and as many equal fakes each, whose logits are higher by `shift`."""
    labels, source = np.tile(np.repeat([0, 1], images), n), np.repeat(np.arange(n), 2 * images)
    noise = np.repeat(np.random.default_rng(seed).normal(0, 1, 2 * n), images)
    return labels, scores_from_logits(logits_of(noise + shift * labels)), source


@pytest.mark.parametrize(
    ("scores", "threshold", "told"),
    [
        (pairs_of(60, 2.0), 0.5, {}),
        (pairs_of(60, 0.0), 0.5, {"guessing": True}),
        (pairs_of(60, -2.0), 0.5, {"guessing": True}),  # worse than guessing
        (pairs_of(60, 2.0), 1.1, {"constant": "real", "guessing": True}),
        (pairs_of(60, 2.0), 0.0, {"constant": "fake", "guessing": True}),
        (pairs_of(6, 50.0), 0.9, {}),  # all told apart
        (pairs_of(5, 50.0), 0.9, {"guessing": True, "few": 5}),  # too few to say
        (pairs_of(30, 0.7), 0.5, {}),
        (pairs_of(5, 0.7, images=6), 0.5, {"guessing": True, "few": 5}),  # the same images in number, of five photos
    ],
)
def test_doubts_about_a_detector(scores, threshold, told):
    labels, values, source = scores
    assert doubts(labels, values, threshold, source) == told


@pytest.mark.parametrize("images", [1, 3])
def test_guessing_passes_about_once_in_forty_and_some_skill_is_found(images):
    def found(shift, photos, seed):
        labels, scores, source = pairs_of(photos, shift, images, seed)
        return doubts(labels, scores, 0.5, source) == {}

    assert np.mean([found(0.0, 40, seed) for seed in range(200)]) < 0.06
    assert all(found(1.0, 100, seed) for seed in range(20))  # a ROC-AUC of 0.76


@pytest.mark.parametrize("fakes", [30, 90])
def test_a_class_with_more_images_moves_neither_temperature_nor_threshold(fakes):
    """Each fake three times is each fake once."""
    labels = np.repeat([0, 1], 30)
    logits = np.random.default_rng(0).normal(0, 1, (60, 2))
    logits[:, 1] += 3 * labels - 1
    more = np.concatenate([np.arange(30), np.repeat(np.arange(30, 60), fakes // 30)])
    weights = class_weights(labels[more])
    assert weights is None if fakes == 30 else weights == pytest.approx([2, 2 / 3])
    # but for Platt's targets, which more fakes bring nearer to 1
    assert fit_temperature(labels[more], logits[more]) == pytest.approx(fit_temperature(labels, logits), rel=0.12)
    scores = scores_from_logits(logits)
    assert best_threshold(labels[more], scores[more]) == best_threshold(labels, scores)
