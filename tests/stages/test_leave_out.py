"""The stages variant_without and variants: trained without one generator, on tiny faces of two."""

import json
import re
import sys

import pandas as pd
import pytest
from conftest import Project, tiny_on_faces
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]
APPROACHES = ["scratch", "extractor", "finetune"]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Project:
    """24 photos with a fake each, of `gan a` (a name that cannot stand in a list) or `b`; trained once without b."""
    project = tiny_on_faces(tmp_path_factory.mktemp("leave_out") / "project", evaluate={"leave_out": ["b"]})
    for number, path in enumerate(sorted((project.path / "data/raw/1_fake").iterdir())):
        folder = path.parent / ("b" if number % 3 else "gan a")
        folder.mkdir(exist_ok=True)
        path.rename(folder / path.name)
    (project.path / "dvc.lock").unlink()
    ran = project.run("dvc", "repro", "variants", timeout=500).stdout
    without = [f"variant_without@{name}-b" for name in APPROACHES]
    assert re.findall(r"Running stage '(.*)'", ran)[-4:] == [*without, "variants"]
    project.commit("ran")
    return project


def read(project: Project, path: str) -> dict:
    return json.loads((project.path / "reports" / path).read_text())


def test_figures_are_those_of_the_scores_on_the_generators_fakes_and_all_reals(built):
    found = read(built, "leave_out/leave_out.json")
    assert list(found) == APPROACHES
    evaluated = read(built, "evaluate/metrics.json")
    own = pd.read_csv(built.path / "reports/evaluate/predictions.csv").query("split == 'test'")
    for name, of in found.items():
        folder = f"evaluate/variants/{name}/without-b"
        table = pd.read_csv(built.path / "reports" / folder / "predictions.csv")
        assert table["path"].tolist() == own["path"].tolist()
        threshold = read(built, f"{folder}/metrics.json")["b"]["threshold"]
        assert list(of["trained_without"]) == ["b"]
        for generator, row in of["trained_without"]["b"].items():
            rest = table[(table["label"] == 0) | table["path"].str.startswith(f"1_fake/{generator}/")]
            assert row["images"] == rest["label"].sum()
            assert row["roc_auc"] == pytest.approx(roc_auc_score(rest["label"], rest["score"]), abs=1e-6)
            called = rest["score"] >= threshold
            assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(rest["label"], called), abs=1e-6)
        assert of["left_out"]["mean_roc_auc"] == of["trained_without"]["b"]["b"]["roc_auc"]
        for generator, row in of["trained_on_all"].items():  # the same as in the table of sub-folders
            beside = evaluated["by_folder"][f"fake: 1_fake/{generator}"][name]
            assert {key: row[key] for key in beside} == beside
        assert of["model_sha256"] == evaluated[name]["model_sha256"]
    assert not list((built.path / ".fakeface" / "variants").iterdir())


def test_another_name_trains_only_itself_and_all_is_each_in_turn(built):
    built.set(evaluate={"leave_out": ["b", "c"]})
    result = built.run("dvc", "repro", "variants", check=False)
    assert (
        "params.yaml: evaluate.leave_out: 'c' is not a generator in data/raw; allowed here: b, gan a" in result.stderr
    )
    (built.path / "data/raw/1_fake/gan a").rename(built.path / "data/raw/1_fake/c")
    dry = built.run("dvc", "repro", "--dry", "--single-item", "variant_without").stdout
    (built.path / "data/raw/1_fake/c").rename(built.path / "data/raw/1_fake/gan a")
    assert set(re.findall(r"Running stage 'variant_without@(.*)'", dry)) == {f"{name}-c" for name in APPROACHES}
    before = pd.read_csv(built.path / "reports/evaluate/variants/extractor/without-b/predictions.csv")
    said = built.run(sys.executable, "-m", "stages.variant", "extractor", "without-all").stdout
    assert re.findall("^train_extractor, (.*)$", said, re.MULTILINE) == ["without b", "without gan a"]
    table = pd.read_csv(built.path / "reports/evaluate/variants/extractor/without-all/predictions.csv")
    assert table[table["without"] == "b"].reset_index(drop=True).equals(before)
    assert not table.loc[table["without"] == "gan a", "score"].equals(before["score"])
