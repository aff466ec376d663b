"""Features are standardised as scikit-learn does it, and a head trained on them is given back for the raw ones."""

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from fakeface.detector.networks import Head
from fakeface.training.standardise import LEAST, for_raw_features, standardise


@pytest.fixture
def stored():
    rng = np.random.default_rng(0)
    scale, shift = rng.uniform(0.01, 50, 7), rng.normal(0, 100, 7)
    return {
        name: (rng.normal(0, 1, (views, n, 7)) * scale + shift).astype(np.float32)
        for name, views, n in (("train", 3, 40), ("val", 1, 9))
    }


def test_mean_and_deviation_are_those_of_all_views_of_train(stored):
    scaler = StandardScaler().fit(stored["train"].astype(np.float64).reshape(-1, 7))
    wanted = {name: scaler.transform(values.astype(np.float64).reshape(-1, 7)) for name, values in stored.items()}
    mean, deviation = standardise(stored)
    assert mean.numpy() == pytest.approx(scaler.mean_, rel=1e-5)
    assert deviation.numpy() == pytest.approx(np.sqrt(scaler.var_), rel=1e-4)
    for name, values in stored.items():
        assert values.dtype == np.float32
        assert values.reshape(-1, 7) == pytest.approx(wanted[name], abs=0.01)


def test_the_head_gives_the_same_logits_for_raw_features(stored):
    raw = torch.from_numpy(stored["val"][0].copy())
    head = Head(7, 2)
    before = head.weight.clone()
    mean, deviation = standardise(stored)
    wanted = head(torch.from_numpy(stored["val"][0]))
    torch.testing.assert_close(for_raw_features(head, mean, deviation)(raw), wanted, atol=1e-2, rtol=1e-3)
    assert torch.equal(head.weight, before)


def test_a_feature_that_hardly_varies_is_not_blown_up(stored):
    stored["train"][..., 0] = 5
    stored["val"][..., 0] = 5.5
    stored["train"][..., 1] = 5 + 1e-6 * stored["train"][..., 2]
    deviation = standardise(stored)[1].numpy()
    assert deviation[:2] == pytest.approx(LEAST * np.median(deviation), rel=0.01)
    assert np.isfinite(stored["val"]).all()


def test_features_that_are_all_constant_stay_finite():
    stored = {name: np.ones((1, 4, 3), np.float32) for name in ("train", "val")}
    _, deviation = standardise(stored)
    assert deviation.tolist() == [1, 1, 1]
    assert not any(values.any() for values in stored.values())
