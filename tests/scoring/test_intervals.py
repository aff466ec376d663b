"""Weighted figures against scikit-learn, intervals against the truth in simulations, and the edges where none is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap as scipy_bootstrap
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score, roc_curve

from fakeface.scoring import intervals
from fakeface.scoring.intervals import bootstrap, cluster_counts, interval, percentiles, weighted_figures
from fakeface.scoring.metrics import evaluate


@st.composite
def weighted(draw):
    """Labels and tied scores with both classes, and whole weights that leave some of each class."""
    n = draw(st.integers(2, 25))
    labels = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n).filter(lambda y: 0 < sum(y) < len(y))))
    scores = np.array(draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))) / 8
    weights = np.array(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)), dtype=float)
    weights[[np.argmax(labels == 0), np.argmax(labels == 1)]] += 1
    return labels, scores, weights


@given(data=weighted(), threshold=st.sampled_from([0.2, 0.5, 0.625]))
@settings(max_examples=150, deadline=None)
def test_an_image_of_weight_n_counts_like_n_images(data, threshold):
    labels, scores, weights = data
    times = weights.astype(int)
    wanted = evaluate(np.repeat(labels, times), np.repeat(scores, times), threshold)
    got = weighted_figures(labels, scores, threshold)(weights[None])
    assert set(got) - set(wanted) == {"false_positive_rate", "false_positive_rate_at_threshold"}
    for figure in set(got) & set(wanted):
        assert got[figure][0] == pytest.approx(wanted[figure], abs=1e-6), figure


@given(data=weighted())
@settings(max_examples=100, deadline=None)
def test_weighted_figures_are_those_of_scikit_learn_with_sample_weights(data):
    labels, scores, weights = data
    got = {figure: values[0] for figure, values in weighted_figures(labels, scores, 0.5)(weights[None]).items()}
    weight = {"sample_weight": weights}
    assert got["roc_auc"] == pytest.approx(roc_auc_score(labels, scores, **weight))
    assert got["average_precision"] == pytest.approx(average_precision_score(labels, scores, **weight))
    assert got["brier"] == pytest.approx(brier_score_loss(labels, scores, **weight))
    assert got["log_loss"] == pytest.approx(log_loss(labels, scores, **weight))
    false_positive, true_positive, _ = roc_curve(labels, scores, **weight)
    for limit, figure in ((0.01, "tpr_at_1pct_fpr"), (0.05, "tpr_at_5pct_fpr")):
        assert got[figure] == pytest.approx(true_positive[false_positive <= limit].max())


def some(n=60, seed=0, per_photo=2):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    return labels, np.clip(0.5 + 0.25 * (2 * labels - 1) + rng.normal(0, 0.3, n), 0, 1), np.arange(n) // per_photo


def test_all_images_of_a_photo_are_drawn_together_and_as_many_photos_as_there_are():
    source = np.array(["b", "a", "b", "c", "c", "c"])
    counts = np.concatenate(list(cluster_counts(source, 500, 0)))
    assert counts.shape == (500, 6)
    assert np.array_equal(counts[:, 0], counts[:, 2])
    assert np.array_equal(counts[:, 3], counts[:, 5])
    assert (counts[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert counts[:, [0, 1, 3]].mean(axis=0) == pytest.approx([1, 1, 1], abs=0.12)


def test_same_seed_same_intervals_whatever_the_blocks(monkeypatch):
    labels, scores, source = some()
    first = bootstrap(labels, {"x": scores}, {"x": 0.4}, source, resamples=300, seed=3)["x"]
    monkeypatch.setattr(intervals, "BLOCK", 60 * 7)
    again = bootstrap(labels, {"x": scores}, {"x": 0.4}, source, resamples=300, seed=3)["x"]
    other = bootstrap(labels, {"x": scores}, {"x": 0.4}, source, resamples=300, seed=4)["x"]
    for figure, values in first.items():
        assert values.shape == (300,)
        assert np.array_equal(values, again[figure], equal_nan=True)
    assert not np.array_equal(first["roc_auc"], other["roc_auc"])


def test_approaches_share_their_resamples_so_that_differences_are_paired():
    labels, scores, source = some()
    got = bootstrap(labels, {"a": scores, "b": scores}, {"a": 0.5, "b": 0.5}, source, resamples=200, seed=0)
    assert np.array_equal(got["a"]["roc_auc"], got["b"]["roc_auc"])


def test_interval_is_scipys_percentile_interval_when_every_image_is_a_photo_of_its_own():
    labels, scores, _ = some(200)
    right = ((scores >= 0.5) == labels).astype(float)
    values = bootstrap(labels, {"x": scores}, {"x": 0.5}, np.arange(200), resamples=9999, seed=0)["x"]["accuracy"]
    wanted = scipy_bootstrap((right,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert percentiles(values) == pytest.approx((wanted.low, wanted.high), abs=0.006)


def correlated(rng, photos, per_photo):
    """Images of one photo are right together: each photo has its own chance to be right, 0.8 on average (beta 1.6, 0.4)."""
    chance = np.repeat(rng.beta(1.6, 0.4, photos), per_photo)
    right = rng.random(photos * per_photo) < chance
    labels = np.arange(photos * per_photo) % 2
    return labels, np.where(right, labels, 1 - labels) * 0.8 + 0.1, np.repeat(np.arange(photos), per_photo)


def test_clustered_intervals_cover_the_truth_and_those_of_single_images_do_not():
    """400 test sets of 80 photos, 6 images each: 95 % of the intervals should hold the true 0.8."""
    rng = np.random.default_rng(0)
    covered = {"photos": 0, "images": 0}
    for seed in range(400):
        labels, scores, source = correlated(rng, 80, 6)
        for kind, groups in (("photos", source), ("images", np.arange(len(labels)))):
            got = bootstrap(labels, {"x": scores}, {"x": 0.5}, groups, resamples=300, seed=seed)["x"]
            low, high = percentiles(got["accuracy"])
            covered[kind] += low <= 0.8 <= high
    assert 0.92 <= covered["photos"] / 400 <= 0.98
    assert covered["images"] / 400 < 0.85


def test_intervals_of_ranking_figures_cover_the_truth():
    """Normal scores, one standard deviation and a half apart: the true ROC-AUC is known."""
    from scipy.stats import norm

    truth = norm.cdf(1.5 / np.sqrt(2))
    rng, covered = np.random.default_rng(1), 0
    for seed in range(200):
        labels = np.arange(200) % 2
        scores = norm.cdf(rng.normal(1.5 * labels - 0.75, 1))
        values = bootstrap(labels, {"x": scores}, {"x": 0.5}, np.arange(200) // 2, resamples=300, seed=seed)["x"][
            "roc_auc"
        ]
        low, high = percentiles(values)
        covered += low <= truth <= high
    assert 0.90 <= covered / 200 <= 0.99


def test_all_right_is_no_proof_of_100_per_cent():
    """75 photos, all right: the exact binomial interval begins at 0.025^(1/75) = 0.952; 150 images of them tell no more."""
    labels, source = np.tile([0, 1], 75), np.repeat(np.arange(75), 2)
    scores = labels.astype(float)
    resampled = bootstrap(labels, {"x": scores}, {"x": 0.5}, source, resamples=200, seed=0)["x"]
    for figure in ("accuracy", "accuracy_real", "accuracy_fake", "balanced_accuracy", "accuracy_at_threshold"):
        assert interval(figure, resampled[figure], labels, source) == pytest.approx((0.025 ** (1 / 75), 1.0))
    for figure in ("roc_auc", "average_precision", "eer", "tpr_at_1pct_fpr"):
        assert interval(figure, resampled[figure], labels, source) is None


def test_all_wrong_is_no_proof_of_0_per_cent():
    labels, source = np.tile([0, 1], 20), np.arange(40)
    resampled = bootstrap(labels, {"x": 1.0 - labels}, {"x": 0.5}, source, resamples=200, seed=0)["x"]
    assert interval("accuracy", resampled["accuracy"], labels, source) == pytest.approx((0.0, 1 - 0.025 ** (1 / 40)))
    low, high = interval("accuracy_fake", resampled["accuracy_fake"], labels, source)
    assert (low, high) == pytest.approx((0.0, 1 - 0.025 ** (1 / 20)))


@pytest.mark.parametrize(("label", "score", "wanted"), [(0, 0.1, (0.025, 1.0)), (1, 0.1, (0.0, 0.975))])
def test_one_image_tells_next_to_nothing(label, score, wanted):
    labels, scores, source = np.array([label]), np.array([score]), np.array([0])
    resampled = bootstrap(labels, {"x": scores}, {"x": 0.5}, source, resamples=100, seed=0)["x"]
    assert interval("accuracy", resampled["accuracy"], labels, source) == pytest.approx(wanted)


def test_reals_alone_have_a_false_positive_rate_with_an_interval():
    rng = np.random.default_rng(0)
    labels, scores = np.zeros(400, dtype=int), rng.random(400) * 0.6
    resampled = bootstrap(labels, {"x": scores}, {"x": 0.5}, np.arange(400), resamples=500, seed=0)["x"]
    low, high = interval("false_positive_rate", resampled["false_positive_rate"], labels, np.arange(400))
    assert low < (scores >= 0.5).mean() < high
    assert "roc_auc" not in resampled
    assert np.isnan(resampled["accuracy_fake"]).all()


def test_resamples_without_a_class_are_left_out():
    labels, scores = np.array([0, 0, 0, 1]), np.array([0.1, 0.6, 0.2, 0.9])
    resampled = bootstrap(labels, {"x": scores}, {"x": 0.5}, np.arange(4), resamples=400, seed=0)["x"]
    assert np.isnan(resampled["roc_auc"]).any()
    low, high = percentiles(resampled["accuracy_real"])
    assert 0 <= low < high <= 1
    assert interval("accuracy_fake", resampled["accuracy_fake"], labels, np.arange(4)) == pytest.approx((0.025, 1.0))
