"""DVC's own view of the models: `artifacts` in dvc.yaml names what the trainings write, and DVC fetches a version by its tag."""

import json

import dvc.api
import pytest
from conftest import ROOT, Project
from ruamel.yaml import YAML
from test_publish import pipeline, write_pipeline

from fakeface.core.params import APPROACHES

WRITTEN = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())


def test_every_approach_is_a_model_and_is_what_its_training_writes():
    assert set(WRITTEN["artifacts"]) == set(APPROACHES)
    for name, artifact in WRITTEN["artifacts"].items():
        assert WRITTEN["stages"][f"train_{name}"]["outs"] == [artifact["path"]]
        assert artifact["type"] == "model"
        assert artifact["labels"]


@pytest.mark.slow
def test_a_tagged_version_is_shown_and_fetched_and_the_lock_stays(tmp_path):
    project = Project(tmp_path / "project")
    write_pipeline(project)
    project.run("dvc", "repro", "-q", "train_scratch")
    lock = (project.path / "dvc.lock").read_bytes()
    named = pipeline("scratch") | {"artifacts": {"scratch": WRITTEN["artifacts"]["scratch"]}}
    (project.path / "dvc.yaml").write_text(json.dumps(named))
    assert "Running stage" not in project.run("dvc", "repro", "train_scratch").stdout
    assert (project.path / "dvc.lock").read_bytes() == lock
    project.commit("trained")
    project.run("git", "tag", "-a", "-m", "first", "scratch@v1.0.0")
    first = project.run("git", "rev-parse", "HEAD").stdout.strip()
    project.set(train_scratch={"lr": 0.5})
    project.run("dvc", "repro", "-q", "train_scratch")
    project.commit("another")

    assert dvc.api.artifacts_show("scratch", repo=str(project.path)) == {"rev": first, "path": "models/scratch"}
    project.run("dvc", "artifacts", "get", str(project.path), "scratch", "--rev", "v1.0.0", "-o", "fetched")
    assert json.loads((project.path / "fetched" / "card.json").read_text())["sha256"] == "sha of scratch 0.001"
