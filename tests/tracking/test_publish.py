"""`fakeface publish` in a small repository: real DVC, git and SQLite, a stage that trains nothing."""

import json
import shutil
import socket
import sqlite3
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, Project, environment
from hypothesis import given
from hypothesis import strategies as st

from fakeface.tracking.locks import training_key

pytestmark = pytest.mark.slow
STAGE = """
import json, sys
from pathlib import Path
from ruamel.yaml import YAML
lr = YAML(typ="safe").load(Path("params.yaml").read_text())["train_scratch"]["lr"]
model, report = Path("models/scratch"), Path("reports/train/scratch")
model.mkdir(parents=True, exist_ok=True), report.mkdir(parents=True, exist_ok=True)
(model / "model.safetensors").write_text(str(lr))
card = {"sha256": f"sha of {lr}", "data_hash": "d" * 64, "network": "mynet", "precision": "fp32"}
(model / "card.json").write_text(json.dumps(card))
(report / "metrics.json").write_text(json.dumps({"val_loss": 0.1 + 0.2, "val_accuracy": 0.75, "epochs": 2}))
head = "epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy"
rows = f"1,{lr},0.9,0.5,0.7000000000000001,0.5", f"2,0.1,0.8,0.6,{1 / 3},0.75"
(report / "history.csv").write_text("\\n".join((head, *rows)) + "\\n")
"""
EVALUATE = """
import json
from pathlib import Path
Path("reports/evaluate").mkdir(parents=True, exist_ok=True)
Path("reports/evaluate/metrics.json").write_text(json.dumps({"scratch": {"accuracy": 0.625, "roc_auc": 0.7}}))
"""
PIPELINE = {
    "stages": {
        "train_scratch": {
            "cmd": "python train.py",
            "deps": ["train.py"],
            "params": ["base.seed", "train_scratch"],
            "outs": ["models/scratch"],
            "metrics": [{"reports/train/scratch/metrics.json": {"cache": False}}],
            "plots": [{"reports/train/scratch/history.csv": {"cache": False}}],
        },
        "evaluate": {
            "cmd": "python evaluate.py",
            "deps": ["evaluate.py", "models/scratch"],
            "metrics": [{"reports/evaluate/metrics.json": {"cache": False}}],
        },
    }
}


def write_pipeline(project: Project) -> None:
    """The small pipeline as a git and DVC repository, nothing run yet."""
    project.path.mkdir()
    shutil.copy(ROOT / "params.yaml", project.path)
    (project.path / "recipes").mkdir()
    shutil.copy(ROOT / "recipes" / "default.yaml", project.path / "recipes")
    (project.path / "train.py").write_text(STAGE)
    (project.path / "evaluate.py").write_text(EVALUATE)
    (project.path / "dvc.yaml").write_text(json.dumps(PIPELINE))
    (project.path / ".gitignore").write_text("mlflow.db\nmlruns\n.fakeface\nmodels\n")
    project.run("git", "init", "-q", "-b", "main")
    project.run("dvc", "init", "-q")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    project = Project(tmp_path_factory.mktemp("published") / "project")
    write_pipeline(project)
    project.run("dvc", "repro", "-q")
    project.commit("first")
    return project.path


@pytest.fixture
def project(trained, tmp_path) -> Project:
    shutil.copytree(trained, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def query(project: Project, sql: str) -> list[tuple]:
    with sqlite3.connect(project.path / "mlflow.db") as store:
        return store.execute(sql).fetchall()


def runs(project: Project) -> list[tuple]:
    return query(project, "select name, status from runs order by start_time")


def test_a_lost_store_is_made_again_with_the_very_same_numbers_and_only_once(project):
    assert "1 runs made, 0 linked to dvc.lock, 0 there" in project.run("fakeface", "publish").stdout
    assert runs(project) == [("train_scratch", "FINISHED"), ("pipeline", "FINISHED")]
    curve = query(project, "select step, value from metrics where key = 'val_loss' order by step")
    assert curve == [(1, 0.7000000000000001), (2, 1 / 3)]
    figures = dict(query(project, "select key, value from latest_metrics"))
    assert figures["kept_val_loss"] == 0.1 + 0.2
    assert figures["test_accuracy"] == figures["scratch.test_accuracy"] == 0.625
    assert query(project, "select value from params where key = 'train_scratch.lr'") == [("0.001",)]
    tags = dict(query(project, "select key, value from tags where key like '%parent%' or key like '%key'"))
    assert tags["mlflow.parentRunId"] == query(project, "select run_uuid from runs where name = 'pipeline'")[0][0]
    assert query(project, "select digest from datasets") == [("d" * 32,)]
    files = {path.name for path in (project.path / "mlruns").rglob("*") if path.is_file()}
    assert files == {"model.safetensors", "card.json", "metrics.json", "history.csv", "curves.png"}

    before = (project.path / "mlflow.db").read_bytes()
    assert "0 runs made, 0 linked to dvc.lock, 1 there" in project.run("fakeface", "publish").stdout
    assert (project.path / "mlflow.db").read_bytes() == before


@pytest.mark.exhaustive
def test_a_broken_off_run_is_left_and_a_whole_one_made(project):
    project.run("fakeface", "publish")
    with sqlite3.connect(project.path / "mlflow.db") as store:  # as a server that was killed midway leaves it
        store.execute("delete from tags where key in ('training_key', 'model_sha256')")
        store.execute("update runs set status = 'RUNNING' where name = 'train_scratch'")
    assert "1 runs made" in project.run("fakeface", "publish").stdout
    assert sorted(runs(project)).count(("train_scratch", "FINISHED")) == 1


def test_a_run_that_was_logged_live_is_linked_and_gets_the_test_figures_it_lacks(project):
    project.run("fakeface", "publish")
    with sqlite3.connect(project.path / "mlflow.db") as store:
        store.execute("delete from tags where key = 'training_key'")
        store.execute("delete from metrics where key like 'test_%'")
        store.execute("delete from latest_metrics where key like 'test_%'")
    assert "0 runs made, 1 linked" in project.run("fakeface", "publish").stdout
    assert query(project, "select value from latest_metrics where key = 'test_accuracy'") == [(0.625,)]
    assert len(runs(project)) == 2


def test_past_commits_and_experiments_are_published_by_name(project):
    project.set(train_scratch={"lr": 0.002})
    project.run("dvc", "repro", "-q")
    project.commit("second")
    project.run("dvc", "exp", "run", "-q", "--temp", "-n", "hot", "-S", "train_scratch.lr=0.5")
    assert "1 runs made" in project.run("fakeface", "publish").stdout
    assert (
        "2 runs made, 0 linked to dvc.lock, 2 there"
        in project.run("fakeface", "publish", "--all-commits", "--exp").stdout
    )
    first = project.run("git", "rev-parse", "--short=7", "HEAD^").stdout.strip()
    names = {name for name, _ in runs(project)}
    assert names == {"train_scratch", "pipeline"} | {
        f"{s} {n}" for s in ("train_scratch", "pipeline") for n in (first, "hot")
    }
    rates = query(
        project,
        "select r.name, p.value from params p join runs r using (run_uuid) where p.key = 'train_scratch.lr'",
    )
    assert sorted(rates) == [
        ("train_scratch", "0.002"),
        (f"train_scratch {first}", "0.001"),
        ("train_scratch hot", "0.5"),
    ]
    assert query(project, "select value from tags where key = 'dvc.exp_name'") == [("hot",)] * 2
    recipes = "select r.name, t.value from tags t join runs r using (run_uuid) where t.key = 'recipe'"
    follows = {"train_scratch": "own", f"train_scratch {first}": "default", "train_scratch hot": "own"}
    assert dict(query(project, recipes)) == follows | {
        k.replace("train_scratch", "pipeline"): v for k, v in follows.items()
    }


@pytest.mark.exhaustive
def test_outputs_that_are_gone_are_named_and_the_rest_is_published(project):
    shutil.rmtree(project.path / ".dvc" / "cache")
    shutil.rmtree(project.path / "models")
    result = project.run("fakeface", "publish")
    assert "models/scratch" in result.stdout
    assert "`dvc pull`" in result.stdout
    assert "0 runs made" in result.stdout


def test_outputs_that_are_not_those_of_the_lock_are_not_published(project):
    (project.path / "reports/train/scratch/metrics.json").write_text('{"val_accuracy": 1.0}')
    result = project.run("fakeface", "publish")
    assert "reports/train/scratch/metrics.json is not what dvc.lock says" in result.stdout
    assert "0 runs made" in result.stdout


def test_a_server_that_is_away_is_one_line(project):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
        env = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
        result = project.run("fakeface", "publish", check=False, **env)
    assert result.returncode == 1
    assert result.stderr.startswith("error: MLflow: ")
    assert result.stderr.count("\n") == 1


def test_a_damaged_store_is_one_line_and_stays_as_it_is(project):
    (project.path / "mlflow.db").write_bytes(b"no database" * 1000)
    result = project.run("fakeface", "publish", check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("error: MLflow: ")
    assert (project.path / "mlflow.db").read_bytes() == b"no database" * 1000


def test_without_a_lock_it_says_what_to_run(project):
    (project.path / "dvc.lock").unlink()
    result = project.run("fakeface", "publish", check=False)
    assert (result.returncode, result.stderr) == (
        1,
        "error: dvc.lock: no such file; run `dvc repro` first, in the project's root\n",
    )


def test_switched_off_it_touches_nothing(project):
    project.set(base={"tracking": False})
    assert "nothing published" in project.run("fakeface", "publish").stdout
    assert not (project.path / "mlflow.db").exists()


@given(st.permutations([("a", "1"), ("b", "2"), ("c", "3")]), st.sampled_from([0.1, 0.2]))
def test_the_key_rests_on_dependencies_and_parameters_not_on_their_order_or_the_outputs(deps, lr):
    entry = {"deps": [{"path": p, "md5": m} for p, m in deps], "params": {"params.yaml": {"lr": lr}}, "outs": [deps[0]]}
    ordered = {"deps": sorted(entry["deps"], key=lambda d: d["path"]), "params": {"params.yaml": {"lr": 0.1}}}
    assert (training_key(entry) == training_key(ordered)) == (lr == 0.1)
    changed = {**ordered, "deps": [*ordered["deps"][:2], {"path": "c", "md5": "4"}]}
    assert training_key(changed) != training_key(ordered)


@pytest.mark.exhaustive
def test_two_at_once_make_one_run(project):
    started = [subprocess.Popen(["fakeface", "publish"], cwd=project.path, env=environment()) for _ in range(2)]
    assert [process.wait(120) for process in started] == [0, 0]
    assert [name for name, _ in runs(project)].count("train_scratch") == 1
