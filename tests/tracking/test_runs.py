"""What a run shows of a training, from the files that hold it."""

import json

import pytest

from fakeface.tracking import runs


@pytest.mark.parametrize(
    ("sha256", "expected"), [("b", {"cost/minutes": 2.0}), ("a", {"cost/minutes": 1.5}), ("c", {})]
)
def test_the_cost_is_that_of_this_model_also_after_a_later_training(sha256, expected):
    text = json.dumps({"model_sha256": "b", "minutes": 2, "earlier": [{"model_sha256": "a", "minutes": 1.5}]})
    assert runs.cost(text, {"sha256": sha256}) == expected
