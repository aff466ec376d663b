"""What a leak is worth: a worked example of the twin split, and intervals against another way."""

import numpy as np
import pandas as pd
import pytest

from fakeface.variants.summary import VERDICTS, compare, difference_interval

THRESHOLDS = (0.3, 0.3)


def table(
    right: list[bool], in_train: list[bool] | None = None, photo: list[int] | None = None, threshold: float = 0.3
) -> pd.DataFrame:
    """Test images, real and fake in turn, called rightly or not."""
    labels = np.arange(len(right)) % 2
    called = np.where(right, labels, 1 - labels)
    return pd.DataFrame(
        {
            "label": labels,
            "source": [f"p{k}" for k in (photo or range(len(right)))],
            "in_train": in_train or [False] * len(right),
            "score": np.where(called == 1, threshold, threshold - 0.01),  # a score of the threshold is called fake
        }
    )


def test_a_worked_example():
    whole = table([True] * 8 + [False] * 2)
    leaky = table([True] * 9 + [False], in_train=[False] * 4 + [True] * 6, threshold=0.7)
    found = compare(whole, leaky, (0.3, 0.7), resamples=500, seed=0)
    assert found["grouped"][VERDICTS] == 0.8
    assert found["grouped"]["n"] == 10
    none = found["none"]
    assert (none[VERDICTS], none["n"]) == (0.9, 10)
    assert none["twin_in_train"] == {VERDICTS: pytest.approx(5 / 6, abs=1e-6), "n": 6}
    assert none["no_twin_in_train"] == {VERDICTS: 1.0, "n": 4}
    assert found["difference"][VERDICTS] == 0.1
    for part in (found["grouped"], none):
        low, high = part["interval"]
        assert low < part[VERDICTS] <= high


def test_without_twins_that_part_is_empty():
    found = compare(table([True, False] * 5), table([True, False] * 5), THRESHOLDS, resamples=200, seed=0)
    assert found["none"]["twin_in_train"] == {VERDICTS: None, "n": 0}


def test_images_of_one_photo_are_one_witness():
    right = [True, True, False, False] * 20
    single, twins = table(right), table(right, photo=[k // 2 for k in range(80)])
    found = compare(single, twins, THRESHOLDS, resamples=2000, seed=0)
    widths = [np.ptp(found[name]["interval"]) for name in ("grouped", "none")]
    assert widths[1] / widths[0] == pytest.approx(2**0.5, rel=0.1)


def test_the_interval_of_a_difference_is_newcombes():
    """His first example (1998, table II, method 10): 56 of 70 against 48 of 80, Wilson's intervals, 0.2 with 0.0524 to 0.3339."""
    from scipy.stats import binomtest

    spans = [binomtest(k, n).proportion_ci(0.95, method="wilson") for k, n in ((56, 70), (48, 80))]
    (a, b), low_high = (56 / 70, 48 / 80), [(s.low, s.high) for s in spans]
    assert difference_interval(a, low_high[0], b, low_high[1]) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    low, high = difference_interval(b, low_high[1], a, low_high[0])
    assert (low, high) == pytest.approx((-0.3339, -0.0524), abs=5e-5)
    assert difference_interval(a, None, b, low_high[1]) is None


def test_the_difference_has_the_width_of_a_bootstrap_of_both():
    rng = np.random.default_rng(0)
    whole, leaky = (table((rng.random(200) < p).tolist()) for p in (0.8, 0.9))
    low, high = compare(whole, leaky, THRESHOLDS, resamples=4000, seed=0)["difference"]["interval"]
    right = [((t["score"] >= 0.3) == (t["label"] == 1)).to_numpy() for t in (whole, leaky)]
    drawn = [rng.choice(r, (4000, 200)).mean(axis=1) for r in right]
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn[1] - drawn[0], [0.025, 0.975])), abs=0.01)


@pytest.mark.parametrize(
    ("whole", "leaky", "signs"),
    [
        ((0.5, 200), (1.0, 200), (1, 1)),
        ((1.0, 200), (0.5, 200), (-1, -1)),
        ((0.9, 40), (0.8, 40), (-1, 1)),
        ((1.0, 8), (1.0, 8), (-1, 1)),  # all right, but 8 photos prove little
        ((0.98, 100), (1.0, 100), (-1, 1)),  # 100 of 100 may still be 96.4 %
    ],
)
def test_the_interval_says_which_way_or_that_nothing_is_shown(whole, leaky, signs):
    first, second = (table([True] * round(p * n) + [False] * (n - round(p * n))) for p, n in (whole, leaky))
    interval = compare(first, second, THRESHOLDS, resamples=500, seed=0)["difference"]["interval"]
    assert tuple(np.sign(interval)) == signs
