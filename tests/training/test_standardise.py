"""Features are standardised as scikit-learn does it, and a head trained on them is given back for the raw ones."""

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from fakeface.detector.networks import Head
from fakeface.images import rows
from fakeface.training.standardise import LEAST, for_raw_features, standardise


@pytest.fixture
def written(tmp_path):
    """Writes features, and gives them as a training reads them."""

    def write(stored):
        for name, values in stored.items():
            np.save(tmp_path / f"{name}.npy", values)
        return {name: rows.feature_views(tmp_path / f"{name}.npy") for name in stored}

    return write


@pytest.fixture
def stored():
    rng = np.random.default_rng(0)
    scale, shift = rng.uniform(0.01, 50, 7), rng.normal(0, 100, 7)
    return {
        name: (rng.normal(0, 1, (views, n, 7)) * scale + shift).astype(np.float32)
        for name, views, n in (("train", 3, 40), ("val", 1, 9))
    }


@pytest.mark.parametrize("piece", [7, 1024])
def test_mean_and_deviation_are_those_of_all_views_of_train(stored, written, piece, monkeypatch):
    monkeypatch.setattr(rows, "PIECE", piece)
    scaler = StandardScaler().fit(stored["train"].astype(np.float64).reshape(-1, 7))
    wanted = {name: scaler.transform(values.astype(np.float64).reshape(-1, 7)) for name, values in stored.items()}
    views = written(stored)
    mean, deviation = standardise(views)
    assert mean.numpy() == pytest.approx(scaler.mean_, rel=1e-5)
    assert deviation.numpy() == pytest.approx(np.sqrt(scaler.var_), rel=1e-4)
    for name, some in views.items():
        values = np.concatenate([view[:] for view in some])
        assert values.dtype == np.float32
        assert values == pytest.approx(wanted[name], abs=0.01)
    # as for an array at once, to the last bit
    train = stored["train"].reshape(-1, 7)
    assert np.array_equal(mean.numpy(), train.mean(0, dtype=np.float64).astype(np.float32))
    centred = train - mean.numpy()
    squares = np.einsum("nf,nf->f", centred, centred, dtype=np.float64)
    assert np.array_equal(deviation.numpy()[0], np.sqrt(squares / len(train)).astype(np.float32)[0])


def test_the_head_gives_the_same_logits_for_raw_features(stored, written):
    raw = torch.from_numpy(stored["val"][0].copy())
    head = Head(7, 2)
    before = head.weight.clone()
    views = written(stored)
    mean, deviation = standardise(views)
    wanted = head(torch.from_numpy(views["val"][0][:]))
    torch.testing.assert_close(for_raw_features(head, mean, deviation)(raw), wanted, atol=1e-2, rtol=1e-3)
    assert torch.equal(head.weight, before)


def test_a_feature_that_hardly_varies_is_not_blown_up(stored, written):
    stored["train"][..., 0] = 5
    stored["val"][..., 0] = 5.5
    stored["train"][..., 1] = 5 + 1e-6 * stored["train"][..., 2]
    views = written(stored)
    deviation = standardise(views)[1].numpy()
    assert deviation[:2] == pytest.approx(LEAST * np.median(deviation), rel=0.01)
    assert np.isfinite(views["val"][0][:]).all()


def test_features_that_are_all_constant_stay_finite(written):
    views = written({name: np.ones((1, 4, 3), np.float32) for name in ("train", "val")})
    _, deviation = standardise(views)
    assert deviation.tolist() == [1, 1, 1]
    assert not any(some[0][:].any() for some in views.values())
