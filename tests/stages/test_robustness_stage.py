"""The robustness stage on the tiny project: its table, the same bytes twice, and a budget that turns it red or not."""

import json
import shutil

import pandas as pd
import pytest
from conftest import Project, tiny_on_faces

from fakeface.robustness.table import VERDICTS

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]
OUT = "reports/robustness"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Project:
    """A tiny project on faces whose fakes are grainy: soon learnt, and gone after a blur. The stage has run once."""
    project = tiny_on_faces(tmp_path_factory.mktemp("robustness") / "project", train_extractor={"epochs": 30})
    project.run("dvc", "repro", "robustness")
    return project


@pytest.fixture
def kept(trained: Project):
    """Parameters and lock are put back afterwards."""
    before = {name: (trained.path / name).read_bytes() for name in ("params.yaml", "dvc.lock")}
    yield trained
    for name, content in before.items():
        (trained.path / name).write_bytes(content)


def test_table_summary_and_pictures_agree(trained):
    table = pd.read_csv(trained.path / OUT / "table.csv")
    assert table["approach"].unique().tolist() == ["scratch", "extractor", "finetune"]
    assert table.groupby("approach")["cell"].nunique().tolist() == [17] * 3
    # as many images of both classes: accuracy is the mean of the recalls
    assert table["accuracy"].to_numpy() == pytest.approx(
        (table["accuracy_real"] + table["accuracy_fake"]).to_numpy() / 2, abs=1e-5
    )
    metrics = json.loads((trained.path / OUT / "metrics.json").read_text())
    for approach, rows in table.groupby("approach"):
        figures = metrics[approach]["accuracy"]
        assert figures["mean"] == pytest.approx(rows["accuracy"].mean(), abs=1e-6)
        assert figures["worst"] == rows["accuracy"].min()
        assert figures["clean"] == rows.set_index("cell")["accuracy"]["clean"]
    assert {path.stem for path in (trained.path / OUT / "figures").iterdir()} == {
        *("jpeg", "blur", "resize", "noise", "examples")
    }
    assert "| jpeg_65 |" in (trained.path / OUT / "table.md").read_text()


def test_a_second_run_writes_the_same_bytes(trained):
    first = trained.files(OUT)
    shutil.rmtree(trained.path / OUT)
    trained.run("python", "-m", "stages.robustness")
    assert trained.files(OUT) == first


def test_all_images_give_the_accuracy_of_evaluate(kept):
    kept.set(robustness={"images": 0})
    kept.run("python", "-m", "stages.robustness")
    kept.run("dvc", "repro", "evaluate")
    clean = pd.read_csv(kept.path / OUT / "table.csv").query("cell == 'clean'").set_index("approach")
    for approach, figures in json.loads((kept.path / "reports/evaluate/metrics.json").read_text()).items():
        for key in ("accuracy", "accuracy_at_threshold", "roc_auc"):
            assert clean.loc[approach, key] == figures[key]
        card = json.loads((kept.path / "models" / approach / "card.json").read_text())
        robust = json.loads((kept.path / OUT / "metrics.json").read_text())[approach]
        assert figures["model_sha256"] == robust["model_sha256"] == card["sha256"]


def test_a_broken_budget_fails_in_one_line_and_leaves_what_it_wrote(kept):
    """Through DVC, which does not cache a failed stage's outputs, and does not take them away either."""
    kept.run("dvc", "repro", "robustness")  # another test may have written over it
    table = pd.read_csv(kept.path / OUT / "table.csv").set_index(["approach", "cell"])[VERDICTS]
    lost = table.xs("clean", level="cell").reindex(table.index, level="approach") - table
    worst, cell = lost.idxmax()
    assert lost.max() > 0.2
    kept.set(robustness={"budget": {worst: {cell: 0}}})
    result = kept.run("dvc", "repro", "robustness", check=False)
    assert result.returncode != 0
    said = [line for line in result.stderr.splitlines() if "robustness.budget is exceeded" in line]
    assert len(said) == 1
    assert f"{worst} loses {lost.max():.3f} of balanced accuracy at {cell}" in said[0]
    assert "Traceback" not in result.stderr
    assert pd.read_csv(kept.path / OUT / "table.csv").set_index(["approach", "cell"])[VERDICTS].equals(table)
    assert (kept.path / OUT / "figures/jpeg.png").is_file()
    assert kept.run("dvc", "status", "-q", check=False).returncode == 1  # red until it holds
    kept.set(robustness={"budget": {worst: {cell: float(round(lost.max() + 0.01, 2))}}})
    assert kept.run("dvc", "repro", "robustness").returncode == 0


def test_a_table_of_other_models_is_refused(kept):
    manifest = kept.path / "data/split/manifest.csv"
    before = manifest.read_bytes()
    manifest.unlink()  # linked to DVC's cache, perhaps
    manifest.write_bytes(before.rstrip(b"\n") + b" \n")
    try:
        result = kept.run("python", "-m", "stages.robustness", check=False)
    finally:
        manifest.write_bytes(before)
    assert result.returncode == 1
    assert "was trained on another split" in result.stderr
