"""What a run shows of a training, from the files that hold it."""

import json

import pytest

from fakeface.core.params import APPROACHES
from fakeface.tracking import live, runs


@pytest.mark.parametrize(
    ("sha256", "expected"), [("b", {"cost/minutes": 2.0}), ("a", {"cost/minutes": 1.5}), ("c", {})]
)
def test_the_cost_is_that_of_this_model_also_after_a_later_training(sha256, expected):
    text = json.dumps({"model_sha256": "b", "minutes": 2, "earlier": [{"model_sha256": "a", "minutes": 1.5}]})
    assert runs.cost(text, {"sha256": sha256}) == expected


def test_a_generator_that_was_left_out_is_a_figure_of_the_full_training():
    of = {"a": {"a": {"roc_auc": 0.4}, "b c": {"roc_auc": 1.0}}, "b c": {"b c": {"roc_auc": 0.6}}}
    found = {"scratch": {"trained_without": of, "left_out": {"mean_roc_auc": 0.5, "worst_roc_auc": 0.4}}}
    assert runs.figures("variants", "scratch", found) == {
        "leave_out/a_roc_auc": 0.4,
        "leave_out/b_c_roc_auc": 0.6,
        "leave_out/mean_roc_auc": 0.5,
        "leave_out/worst_roc_auc": 0.4,
    }
    assert runs.figures("variants", "scratch", {}) == {}


def test_figures_of_sub_folders_are_no_approach(tmp_path, monkeypatch):
    metrics = {name: {"model_sha256": name, "accuracy": 1.0} for name in APPROACHES} | {"by_folder": {"1_fake/gan": {}}}
    (tmp_path / "reports/evaluate").mkdir(parents=True)
    (tmp_path / "reports/evaluate/metrics.json").write_text(json.dumps(metrics))
    monkeypatch.chdir(tmp_path)
    asked = []

    class Client:
        def search_runs(self, experiments, wanted):
            asked.append(wanted)
            return []

    live._log_scores(Client(), "1", "evaluate")
    assert asked == [f"tags.model_sha256 = '{name}'" for name in APPROACHES]
