"""The spread over seeds: a worked example, and what is said of it beside the interval over photos."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakeface.variants.seeds import markdown, mean_and_sd, seed_metrics

PHOTOS = {"scratch": (0.851, 0.949), "extractor": None}  # the first is 2.5 points of standard error


def test_a_worked_example():
    # deviations from 0.9: -0.02, 0, 0.02; squares 0.0008, over n - 1 = 2: 0.0004
    found = seed_metrics({"scratch": [0.88, 0.9, 0.92], "extractor": [0.5, 0.5, 0.5]})
    assert found == {
        "seeds": 3,
        "approaches": {
            "scratch": {"accuracy": [0.88, 0.9, 0.92], "mean": 0.9, "sd": 0.02},
            "extractor": {"accuracy": [0.5, 0.5, 0.5], "mean": 0.5, "sd": 0.0},
        },
    }


def test_one_training_has_no_spread():
    assert seed_metrics({"scratch": [0.9]}) == {
        "seeds": 1,
        "approaches": {"scratch": {"accuracy": [0.9], "mean": 0.9, "sd": None}},
    }
    text = markdown({"scratch": [0.9]}, [7], {"scratch": PHOTOS["scratch"]})
    assert "seed 7" in text
    assert "is not known" in text
    assert "deviation" not in text


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_mean_and_deviation_are_those_of_numpy(values):
    mean, sd = mean_and_sd(values)
    assert mean == pytest.approx(np.mean(values), abs=1e-6)
    assert sd == pytest.approx(np.std(values, ddof=1), abs=1e-6)


@pytest.mark.parametrize(
    ("accuracies", "word"),
    [
        ([0.9, 0.91, 0.9], "less than other photos do: standard deviation 0.6 against 2.5"),
        ([0.88, 0.9, 0.92], "about as much as other photos do: standard deviation 2.0 against 2.5"),
        ([0.9, 0.7, 0.8], "more than other photos do: standard deviation 10.0 against 2.5"),
    ],
)
def test_the_spread_is_said_beside_the_interval_over_photos(accuracies, word):
    text = markdown({"scratch": accuracies}, [0, 1, 2], PHOTOS)
    assert f"Another seed moves it {word} points." in text
    assert "the 95 % interval over photos of seed 0 alone is 85.1 to 94.9 %" in text


def test_the_table_has_a_line_a_seed():
    lines = markdown({"scratch": [0.9, 0.8], "extractor": [0.75, 0.75]}, [4, 9], PHOTOS).splitlines()
    assert "| 4 | 90.0 | 75.0 |" in lines
    assert "| 9 | 80.0 | 75.0 |" in lines
    assert "| **mean** | 85.0 | 75.0 |" in lines
    assert "| **standard deviation** | 7.1 | 0.0 |" in lines
    assert "- extractor: 75.0 to 75.0 % over the seeds." in lines  # without an interval nothing to compare with


def test_an_interval_without_width_is_not_compared_with():
    assert "Another seed" not in markdown({"scratch": [1.0, 0.9]}, [0, 1], {"scratch": (1.0, 1.0)})
