"""CONTRIBUTING.md's way to a new approach: a section, a stage, a line in the registry; then it stands wherever the others do."""

import json
import re
import sqlite3

import pandas as pd
import pytest
from conftest import Project, tiny_on_faces

APPROACHES = ["scratch", "extractor", "finetune", "plain"]


def add_approach(project: Project) -> None:
    """What a contributor writes, in three places: nothing else is touched."""
    # 1. the section: its values, and its field (here with the class of another one)
    insert(
        project,
        "params.yaml",
        "evaluate:\n",
        block(project, "params.yaml", "train_scratch").replace("init: he", "init: torch"),
    )
    insert(project, "fakeface/core/params.py", "    evaluate: Evaluate\n", "    train_plain: TrainScratch\n")
    # 2. the stage: its script, and its block in dvc.yaml
    stage = (project.path / "stages/train_scratch.py").read_text()
    (project.path / "stages/train_plain.py").write_text(stage.replace("scratch", "plain"))
    insert(project, "dvc.yaml", "  evaluate:\n", block(project, "dvc.yaml", "train_scratch"))
    # 3. the registry
    insert(project, "dvc.yaml", "]\n", ", plain")


def block(project: Project, file: str, name: str) -> str:
    """A key with all that is indented below it, for the new approach."""
    text = (project.path / file).read_text()
    found = re.search(rf"^( *){name}:.*\n(?:\1 +.*\n|\n)+", text, re.MULTILINE).group()
    return found.replace("scratch", "plain").rstrip() + "\n\n"


def insert(project: Project, file: str, before: str, text: str) -> None:
    path = project.path / file
    content = path.read_text()
    assert before in content
    path.write_text(content.replace(before, text + before, 1))


def ran(result) -> list[str]:
    return [name for name in re.findall(r"Running stage '([\w@-]+)'", result.stdout) if name != "check"]


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_new_approach_is_trained_scored_compared_and_published(tmp_path):
    project = tiny_on_faces(tmp_path / "project", base={"tracking": True}, train_scratch={"epochs": 1})
    (project.path / "dvc.lock").unlink()
    add_approach(project)

    def run(*command: str):
        """With the copy's own package, whose registry has one more line."""
        return project.run(*command, timeout=400, PYTHONPATH=str(project.path))

    run("fakeface", "check")
    assert "train_plain" in ran(run("dvc", "repro"))
    reports = project.path / "reports"
    metrics = json.loads((reports / "evaluate/metrics.json").read_text())
    assert list(metrics) == APPROACHES
    predictions = pd.read_csv(reports / "evaluate/predictions.csv").query("split == 'test'")
    right = (predictions["score_plain"] >= 0.5) == predictions["label"]
    assert right.mean() == pytest.approx(metrics["plain"]["accuracy"])
    assert len(pd.read_csv(reports / "evaluate/pairs.csv")) == 6
    for name in ("curves", "roc"):
        assert list(pd.read_csv(reports / f"evaluate/{name}.csv")["approach"].unique()) == APPROACHES
    assert list(json.loads((reports / "robustness/metrics.json").read_text())) == APPROACHES
    assert list(json.loads((reports / "seeds/seeds.json").read_text())["approaches"]) == APPROACHES
    assert set(pd.read_csv(reports / "explain/errors.csv")["approach"]) <= set(APPROACHES)
    assert re.search(r"<th[^>]*>plain</th>", (reports / "index.html").read_text())
    assert json.loads((project.path / "models/plain/card.json").read_text())["approach"] == "plain"

    # its parameters are its own, and a further seed trains it too
    project.set(train_plain={"lr": 0.002}, evaluate={"seeds": [1]})
    further = [f"variant_seed@{name}-1" for name in APPROACHES]
    assert set(ran(run("dvc", "repro", "--dry"))) == {"train_plain", "variants", "report", *further}

    # a store that was lost has its run again
    for path in project.path.glob("mlflow.db*"):
        path.unlink()
    run("fakeface", "publish")
    with sqlite3.connect(project.path / "mlflow.db") as store:
        names = " ".join(name for (name,) in store.execute("select name from runs"))
    assert all(name in names for name in APPROACHES)
    # the project's own proof of its dependencies
    ours = "declared or approach or rests"
    result = run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/stages/test_dvc_yaml.py", "-k", ours)
    assert " failed" not in result.stdout
