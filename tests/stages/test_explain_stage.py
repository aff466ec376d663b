"""The explain stage on the tiny project: its lists are those of the predictions, and it writes the same bytes twice."""

import json
import shutil

import pandas as pd
import pytest
from conftest import Project, tiny_on_faces

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]
OUT = "reports/explain"
APPROACHES = ["scratch", "extractor", "finetune"]


@pytest.fixture(scope="module")
def explained(tmp_path_factory) -> Project:
    """A tiny project whose networks are hardly trained, so there are errors. The stage has run once."""
    project = tiny_on_faces(tmp_path_factory.mktemp("explain") / "project", train_scratch={"epochs": 1})
    project.run("dvc", "repro", "explain", MPLBACKEND="TkAgg")  # which has no display here
    return project


def test_the_lists_are_those_of_the_predictions_and_thresholds(explained):
    predictions = pd.read_csv(explained.path / "reports/evaluate/predictions.csv").query("split == 'test'")
    errors = pd.read_csv(explained.path / OUT / "errors.csv")
    assert list(errors.columns) == ["approach", "path", "label", "score"]
    counts = json.loads((explained.path / OUT / "explain.json").read_text())
    assert list(counts) == APPROACHES
    page = (explained.path / OUT / "index.html").read_text()
    for approach in APPROACHES:
        threshold = json.loads((explained.path / f"models/{approach}/card.json").read_text())["threshold"]
        called = (predictions[f"score_{approach}"] >= threshold).astype(int)
        table = pd.crosstab(predictions["label"], called).reindex(index=[0, 1], columns=[0, 1], fill_value=0)
        assert counts[approach] == {
            "threshold": threshold,
            "errors": table.loc[0, 1] + table.loc[1, 0],
            "fake_called_fake": table.loc[1, 1],
            "fake_called_real": table.loc[1, 0],
            "real_called_real": table.loc[0, 0],
            "real_called_fake": table.loc[0, 1],
        }
        wrong = predictions[called != predictions["label"]]
        listed = errors[errors["approach"] == approach]
        assert sorted(listed["path"]) == sorted(wrong["path"])
        assert dict(zip(listed["path"], listed["score"], strict=True)) == dict(
            zip(wrong["path"], wrong[f"score_{approach}"], strict=True)
        )
        assert (listed["score"] - listed["label"]).abs().is_monotonic_decreasing
        assert f"{approach}: {len(wrong)} of {len(predictions)} wrong" in page
    assert len(errors)
    assert all(path in page for path in errors["path"])


def test_a_second_run_writes_the_same_bytes(explained):
    first = explained.files(OUT)
    assert set(first) == {
        *("index.html", "errors.csv", "explain.json"),
        *(f"figures/{kind}_{approach}.jpg" for kind in ("gradcam", "extremes") for approach in APPROACHES),
    }
    shutil.rmtree(explained.path / OUT)
    explained.run("python", "-m", "stages.explain")
    assert explained.files(OUT) == first
