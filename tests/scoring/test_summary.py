"""What metrics.json, the tables and table.md hold, for two classes, for one, and for a single image."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from fakeface.detector.calibration import uncalibrated
from fakeface.scoring.metrics import calibration
from fakeface.scoring.summary import HEADLINE, PER_CENT, PLAIN, summarise

CARDS = {
    "scratch": {"threshold": 0.4, "temperature": 2.0, "sha256": "a" * 64},
    "finetune": {"threshold": 0.6, "temperature": 0.5, "sha256": "b" * 64},
}


def summary_of(labels, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.array(labels)
    scores = {
        name: np.clip(0.5 + 0.2 * (2 * labels - 1) + rng.normal(0, 0.3, len(labels)), 0.01, 0.99) for name in CARDS
    }
    return scores, summarise(labels, scores, CARDS, np.arange(len(labels)) // 2, resamples=200, seed=0)


BOTH = np.tile([0, 1], 40)


def test_headline_is_short_and_has_the_interval_of_accuracy():
    _, summary = summary_of(BOTH)
    for name, row in summary.headline().items():
        balanced = {f"balanced_accuracy_at_threshold_{end}" for end in ("low", "high")}
        expected = {*HEADLINE, *balanced, "accuracy_low", "accuracy_high", "n_test", "model_sha256"}
        assert set(row) == expected - {"false_positive_rate"}
        assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
        assert row["accuracy"] == summary.figures[name]["accuracy"]
        assert row["n_test"] == 80
        assert row["model_sha256"] == CARDS[name]["sha256"]


def test_every_figure_is_in_the_table_and_lies_in_its_interval():
    _, summary = summary_of(BOTH)
    table = summary.table()
    assert set(table["figure"]) == {*PER_CENT, *PLAIN} - {"false_positive_rate", "false_positive_rate_at_threshold"}
    known = table.dropna()
    without = {"ece", "threshold", "temperature"} | {f for f in PLAIN if f.endswith("_uncalibrated")}
    assert set(known["figure"]) == set(table["figure"]) - without
    assert (known["low"] <= known["value"]).all()
    assert (known["value"] <= known["high"]).all()


def test_uncalibrated_figures_are_those_at_temperature_1():
    scores, summary = summary_of(BOTH)
    for name, card in CARDS.items():
        before = calibration(BOTH, uncalibrated(scores[name], card["temperature"]))
        for figure, value in before.items():
            assert summary.figures[name][f"{figure}_uncalibrated"] == pytest.approx(value, abs=1e-6)


def test_files_are_written_and_can_be_read_back(tmp_path):
    _, summary = summary_of(BOTH)
    summary.write(tmp_path / "r", "Test set", skipped=3)
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == [
        "figures.csv",
        "metrics.json",
        "pairs.csv",
        "table.md",
    ]
    assert json.loads((tmp_path / "r/metrics.json").read_text()) == summary.headline() | {"skipped": 3}
    pairs = pd.read_csv(tmp_path / "r/pairs.csv")
    assert pairs["pair"].tolist() == ["scratch - finetune"]
    assert pairs["sentence"][0] == summary.pairs[0].sentence
    text = (tmp_path / "r/table.md").read_text()
    assert text.startswith("# Test set: 80 images of 40 photos\n")
    assert summary.pairs[0].sentence in text
    columns = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert columns == {4}


def test_what_is_no_better_than_guessing_is_said_first(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [6, 60])
    scores = {"scratch": np.where(labels == 1, 0.9, 0.1), "coin": rng.random(66), "fake": rng.uniform(0.8, 1, 66)}
    summary = summarise(labels, scores, dict.fromkeys(scores, CARDS["scratch"]), np.arange(66), resamples=200, seed=0)
    assert [row.get("guessing") for row in summary.headline().values()] == [None, True, True]
    said = [text.strip("*") for text in summary.markdown("Test set").split("\n\n")[1:5]]
    assert [text.split(":")[0] for text in said[:2]] == [
        "coin is no better than guessing here",
        "fake is no better than guessing here, it calls every image fake",
    ]
    assert said[2].startswith(
        "A small test set: 6 reals and 60 fakes of 66 photos. If all 6 of a class are called right, up to 50 %"
    )
    assert "to call everything fake is right for 90.9 % of them" in said[3]


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_only_what_is_defined(label):
    _, summary = summary_of([label] * 30)
    recall = ("accuracy_real", "accuracy_fake")
    for figures in summary.figures.values():
        assert figures["accuracy"] == figures[recall[label]]
        assert not {recall[1 - label], "roc_auc", "average_precision", "eer", "brier", "balanced_accuracy"} & set(
            figures
        )
        if label == 0:
            assert figures["false_positive_rate"] == pytest.approx(1 - figures["accuracy"])
    for figures in summary.intervals.values():
        assert "accuracy" in figures
    text = summary.markdown("Reals")
    assert ("reals called fake" in text) == (label == 0)
    assert "ROC" not in text


def test_a_single_image_is_summarised(tmp_path):
    _, summary = summary_of([1])
    summary.write(tmp_path, "One")
    assert "# One: 1 images of 1 photos" in (tmp_path / "table.md").read_text()
    for row in summary.headline().values():
        assert row["accuracy"] in (0.0, 1.0)
        assert row["accuracy_high"] - row["accuracy_low"] == pytest.approx(0.975)


def test_everything_right_has_no_interval_of_ranking_but_one_of_accuracy():
    scores = {"scratch": np.where(BOTH == 1, 0.9, 0.1)}
    summary = summarise(BOTH, scores, CARDS, np.arange(80) // 2, resamples=200, seed=0)
    assert summary.pairs == []
    assert "roc_auc" not in summary.intervals["scratch"]
    assert summary.intervals["scratch"]["accuracy"] == pytest.approx((0.025 ** (1 / 40), 1))
    assert summary.differences().empty
    assert len(pd.read_csv(io.StringIO(summary.table().to_csv()))) == len(summary.figures["scratch"])
