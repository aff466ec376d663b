"""The spread over seeds: a worked example, and numpy's figures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakeface.variants.summary import VERDICTS, seed_metrics


def test_a_worked_example():
    # deviations from 0.9: -0.02, 0, 0.02; squares 0.0008, over n - 1 = 2: 0.0004
    found = seed_metrics({"scratch": [0.88, 0.9, 0.92], "extractor": [0.5, 0.5, 0.5]})
    assert found == {
        "seeds": 3,
        "approaches": {
            "scratch": {VERDICTS: [0.88, 0.9, 0.92], "mean": 0.9, "sd": 0.02},
            "extractor": {VERDICTS: [0.5, 0.5, 0.5], "mean": 0.5, "sd": 0.0},
        },
    }


def test_one_training_has_no_spread():
    assert seed_metrics({"scratch": [0.9]}) == {
        "seeds": 1,
        "approaches": {"scratch": {VERDICTS: [0.9], "mean": 0.9, "sd": None}},
    }


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_mean_and_deviation_are_those_of_numpy(values):
    found = seed_metrics({"scratch": values})["approaches"]["scratch"]
    assert found["mean"] == pytest.approx(np.mean(values), abs=1e-6)
    assert found["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-6)
