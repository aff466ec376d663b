"""The temperature against scipy and worked examples; calibration moves no decision and no order."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from fakeface.detector.calibration import TEMPERATURES, fit_temperature, scores_from_logits, uncalibrated


def logits_of(difference):
    return np.stack([np.zeros(len(difference)), difference], axis=1)


def overconfident(n, factor, seed):
    """Labels drawn from the true probabilities; logits that are `factor` times too large."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 1.5, n)
    labels = (rng.random(n) < expit(true)).astype(np.int64)
    return labels, logits_of(true * factor)


def smoothed_loss(log_temperature, labels, logits):
    """Platt's targets, written out with scipy."""
    fakes = labels.sum()
    targets = np.where(labels == 1, (fakes + 1) / (fakes + 2), 1 / (len(labels) - fakes + 2))
    p = expit((logits[:, 1] - logits[:, 0]) / math.exp(log_temperature))
    return -np.mean(targets * np.log(p) + (1 - targets) * np.log1p(-p))


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
