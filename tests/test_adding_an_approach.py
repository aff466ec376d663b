"""CONTRIBUTING.md's way to a new approach: one section, one stage, one line; then it stands wherever the others do."""

import json
import re
import sqlite3

import pandas as pd
import pytest
from conftest import ROOT, Project, tiny_on_faces
from fakeface.cli.wiring import wire
from ruamel.yaml import YAML

from fakeface.core.errors import UserError

APPROACHES = ["scratch", "extractor", "finetune", "plain"]


def add_approach(project: Project) -> None:
    """What a contributor writes: a section, a stage (its file and its entry), a line in the registry."""
    params = project.path / "params.yaml"
    text = params.read_text()
    section = re.search(r"^train_scratch:\n(?:  .*\n|\n)+", text, re.MULTILINE).group()
    section = section.replace("train_scratch", "train_plain").replace("init: he", "init: torch")
    params.write_text(text.replace("evaluate:\n", section.rstrip() + "\n\nevaluate:\n", 1))

    stage = (project.path / "stages" / "train_scratch.py").read_text()
    (project.path / "stages" / "train_plain.py").write_text(stage.replace("scratch", "plain"))
    pipeline = project.path / "dvc.yaml"
    text = pipeline.read_text()
    entry = re.search(r"^  train_scratch:\n(?:    .*\n|\n)+", text, re.MULTILINE).group()
    pipeline.write_text(text.replace("  evaluate:\n", entry.replace("scratch", "plain") + "  evaluate:\n", 1))

    registry = project.path / "fakeface" / "params.py"
    line = "    train_finetune: TrainFinetune\n"
    assert registry.read_text().count(line) == 1
    registry.write_text(registry.read_text().replace(line, f"{line}    train_plain: TrainScratch\n"))


def in_project(project: Project, *command: str, check: bool = True):
    """Runs a command with the copy's own package, whose registry has one more line."""
    return project.run(*command, check=check, timeout=400, PYTHONPATH=str(project.path))


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_new_approach_is_trained_scored_compared_and_published(tmp_path):
    project = tiny_on_faces(tmp_path / "project", base={"tracking": True}, train_scratch={"epochs": 1})
    (project.path / "dvc.lock").unlink()
    add_approach(project)
    written = in_project(project, "fakeface", "wire").stdout
    assert written.split()[1:] == [
        "dvc.yaml,",
        *(f"recipes/{r}.yaml," for r in ("article", "best", "default", "robust")),
        "recipes/stargan128.yaml",
    ]
    assert in_project(project, "fakeface", "wire").stdout == "every approach is named everywhere already\n"
    in_project(project, "fakeface", "check")

    ran = re.findall(r"Running stage '([\w@-]+)'", in_project(project, "dvc", "repro").stdout)
    assert "train_plain" in ran
    reports = project.path / "reports"
    metrics = json.loads((reports / "evaluate/metrics.json").read_text())
    assert list(metrics) == APPROACHES
    predictions = pd.read_csv(reports / "evaluate/predictions.csv").query("split == 'test'")
    right = (predictions["score_plain"] >= 0.5) == predictions["label"]
    assert right.mean() == pytest.approx(metrics["plain"]["accuracy"])
    assert len(pd.read_csv(reports / "evaluate/pairs.csv")) == 6
    assert (reports / "evaluate/roc_plain.csv").is_file()
    assert list(json.loads((reports / "robustness/metrics.json").read_text())) == APPROACHES
    assert list(json.loads((reports / "seeds/seeds.json").read_text())["approaches"]) == APPROACHES
    assert set(pd.read_csv(reports / "explain/errors.csv")["approach"]) <= set(APPROACHES)
    assert re.search(r"<th[^>]*>plain</th>", (reports / "index.html").read_text())
    assert json.loads((project.path / "models/plain/card.json").read_text())["approach"] == "plain"

    # what it rests on is what reruns, and the stages that train again know it
    project.set(train_plain={"lr": 0.002})
    changed = re.findall(r"Running stage '([\w@-]+)'", in_project(project, "dvc", "repro").stdout)
    assert changed == ["train_plain", "evaluate", "robustness", "explain", "seeds", "leak", "report"]

    # and a store that was lost has its run again
    for path in project.path.glob("mlflow.db*"):
        path.unlink()
    in_project(project, "fakeface", "publish")
    with sqlite3.connect(project.path / "mlflow.db") as store:
        assert {name for (name,) in store.execute("select name from runs")} >= {f"train_{name}" for name in APPROACHES}
    # the project's own proof of its dependencies
    tests = in_project(
        project, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/stages/test_dvc_yaml.py"
    )
    assert " failed" not in tests.stdout


@pytest.fixture
def bare(tmp_path):
    """dvc.yaml, params.yaml and the recipes, nothing else."""
    (tmp_path / "recipes").mkdir()
    for name in ("dvc.yaml", "params.yaml", *(f"recipes/{path.name}" for path in (ROOT / "recipes").glob("*.yaml"))):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "fakeface").mkdir()
    (tmp_path / "fakeface" / "params.py").write_bytes((ROOT / "fakeface" / "params.py").read_bytes())
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "train_scratch.py").write_bytes((ROOT / "stages" / "train_scratch.py").read_bytes())
    return Project(tmp_path)


def test_the_committed_files_are_complete(bare):
    assert wire(bare.path, APPROACHES[:3]) == []


def test_each_line_about_one_approach_is_there_for_the_new_one_too_and_no_other_changes(bare):
    add_approach(bare)
    before = (bare.path / "dvc.yaml").read_text().splitlines()
    assert len(wire(bare.path, APPROACHES)) == 6
    after = (bare.path / "dvc.yaml").read_text().splitlines()
    new = list(after)
    for line in before:
        new.remove(line)
    written = YAML(typ="safe").load((bare.path / "dvc.yaml").read_text())
    stages = {name: stage.get("do", stage) for name, stage in written["stages"].items()}
    for name in ("evaluate", "extra", "robustness", "explain", "leak", "report"):
        assert "models/plain" in stages[name]["deps"]
    for name in ("seeds", "leak"):
        assert "stages/train_plain.py" in stages[name]["deps"]
        assert "train_plain" in stages[name]["params"]
    assert "reports/plain/history.csv" in stages["evaluate"]["deps"]
    roc = next(plot for plot in stages["evaluate"]["plots"] if "reports/evaluate/roc_plain.csv" in plot)
    assert roc["reports/evaluate/roc_plain.csv"]["title"] == "ROC of plain on the test set"
    assert "train_plain" in stages["report"]["params"]
    plots = {key: value for plot in written["plots"] for key, value in plot.items()}
    assert [len(plots[name]["y"]) for name in ("validation accuracy", "validation loss", "roc")] == [4, 4, 4]
    # the entry of a stage that trains is the contributor's own
    assert not [line for line in new if "plain" not in line and line.split(":")[0].strip() not in ("cache", "x", "y")]
    assert wire(bare.path, APPROACHES) == []


def test_a_recipe_gets_the_section_of_params_yaml_and_stays_as_it_is_otherwise(bare):
    recipe = bare.path / "recipes" / "article.yaml"
    before = YAML(typ="safe").load(recipe.read_text())
    add_approach(bare)
    wire(bare.path, APPROACHES)
    after = YAML(typ="safe").load(recipe.read_text())
    assert list(after).index("train_plain") == list(after).index("train_finetune") + 1
    assert after.pop("train_plain") == YAML(typ="safe").load((bare.path / "params.yaml").read_text())["train_plain"]
    assert after == before


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("dvc.yaml", "  train_plain:\n", "  train_other:\n", "dvc.yaml: has no stage train_plain"),
        ("params.yaml", "\ntrain_plain:", "\ntrain_other:", "params.yaml: has no section train_plain"),
    ],
)
def test_what_is_missing_is_named_and_nothing_written(bare, file, old, new, reason):
    add_approach(bare)
    path = bare.path / file
    path.write_text(path.read_text().replace(old, new))
    before = {name: (bare.path / name).read_bytes() for name in ("dvc.yaml", "recipes/best.yaml")}
    with pytest.raises(UserError, match=reason):
        wire(bare.path, APPROACHES)
    assert {name: (bare.path / name).read_bytes() for name in before} == before


def test_a_name_that_is_no_folders_is_refused(bare):
    with pytest.raises(UserError, match="lower-case letters and digits"):
        wire(bare.path, ["scratch", "my_net"])


def test_away_from_the_project_it_says_where_to_run_it(tmp_path):
    with pytest.raises(UserError, match=r"dvc.yaml: no such file; run this from the project's root"):
        wire(tmp_path, APPROACHES)
