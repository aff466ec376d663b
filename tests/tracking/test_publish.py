"""`fakeface publish` in a small repository: real DVC, git and SQLite, stages that train nothing."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from conftest import ROOT, Project
from hypothesis import given
from hypothesis import strategies as st
from test_live import query as of_store

from fakeface.core.params import APPROACHES
from fakeface.tracking.locks import training_key

pytestmark = pytest.mark.slow
STAGE = """
import json, sys
from pathlib import Path
from ruamel.yaml import YAML
name = sys.argv[1]
lr = YAML(typ="safe").load(Path("params.yaml").read_text())[f"train_{name}"]["lr"]
model, report = Path("models", name), Path("reports/train", name)
model.mkdir(parents=True, exist_ok=True), report.mkdir(parents=True, exist_ok=True)
(model / "model.safetensors").write_text(f"{name} {lr}")
metrics = {"val_loss": 0.1 + 0.2, "val_accuracy": 0.75 if lr == 0.001 else 0.5, "best_epoch": 2, "epochs": 2}
card = {"sha256": f"sha of {name} {lr}", "data_hash": "d" * 64, "network": "mynet", "precision": "fp32", "image_size": 8}
card |= {"approach": name, "classes": ["real", "fake"], "score": "probability of fake", "metrics": metrics}
(model / "card.json").write_text(json.dumps(card))
(report / "metrics.json").write_text(json.dumps(metrics | {"model_sha256": card["sha256"]}))
head = "epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy"
rows = f"1,{lr},0.9,0.5,0.7000000000000001,0.5", f"2,0.1,0.8,0.6,{1 / 3},0.75"
(report / "history.csv").write_text("\\n".join((head, *rows)) + "\\n")
"""
EVALUATE = """
import json
from pathlib import Path
Path("reports/evaluate/figures").mkdir(parents=True, exist_ok=True)
for name in ("roc", "predictions_scratch", "predictions_finetune"):
    Path(f"reports/evaluate/figures/{name}.png").write_text(name)
figures = {"accuracy": 0.625, "roc_auc": 0.7, "average_precision": None, "n_test": 8}
cards = [json.loads(path.read_text()) for path in Path("models").glob("*/card.json")]
scored = {card["approach"]: figures | {"model_sha256": card["sha256"]} for card in cards}
Path("reports/evaluate/metrics.json").write_text(json.dumps(scored))
"""


def pipeline(*approaches: str) -> dict:
    """dvc.yaml: these trainings, and evaluate, which rests on the folders that hold all of them."""
    stages = {
        f"train_{name}": {
            "cmd": f"python train.py {name}",
            "deps": ["train.py"],
            "params": ["base.seed", f"train_{name}"],
            "outs": [f"models/{name}"],
            "metrics": [{f"reports/train/{name}/metrics.json": {"cache": False}}],
            "plots": [{f"reports/train/{name}/history.csv": {"cache": False}}],
        }
        for name in approaches
    }
    evaluate = {
        "cmd": "python evaluate.py",
        "deps": ["evaluate.py", "models", "reports/train"],
        "outs": ["reports/evaluate/figures"],
        "metrics": [{"reports/evaluate/metrics.json": {"cache": False}}],
    }
    return {"stages": stages | {"evaluate": evaluate}}


def write_pipeline(project: Project, *approaches: str) -> None:
    """The small pipeline as a git and DVC repository, nothing run yet."""
    project.path.mkdir()
    shutil.copy(ROOT / "params.yaml", project.path)
    (project.path / "train.py").write_text(STAGE)
    (project.path / "evaluate.py").write_text(EVALUATE)
    (project.path / "dvc.yaml").write_text(json.dumps(pipeline(*approaches or ("scratch",))))
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


def train_again(project: Project, lr: float = 0.002) -> None:
    project.set(train_scratch={"lr": lr})
    project.run("dvc", "repro", "-q")
    project.commit("again")


def publish(project: Project, *options: str, **env: str) -> str:
    result = project.run("fakeface", "publish", *options, **env)
    return result.stdout + result.stderr


def query(project: Project, sql: str) -> list[tuple]:
    return of_store(project.path / "mlflow.db", sql)


def runs(project: Project) -> list[tuple]:
    return query(project, "select name, status from runs where lifecycle_stage = 'active' order by start_time")


def files(project: Project) -> set[str]:
    return {path.name for path in (project.path / "mlruns").rglob("*") if path.is_file()}


WHOLE = {"card.json", "metrics.json", "history.csv", "roc.png", "predictions_scratch.png"}
TAGS = "select key, value from tags join runs using (run_uuid) where lifecycle_stage = 'active'"


def test_a_lost_store_is_made_again_with_the_very_same_numbers_and_only_once(project):
    said = publish(project)
    assert "1 runs made, 0 linked to dvc.lock, 0 there" in said
    assert "#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=fakeface" in said
    assert runs(project) == [("scratch", "FINISHED")]
    curve = query(project, "select step, value from metrics where key = 'val/loss' order by step")
    assert curve == [(1, 0.7000000000000001), (2, 1 / 3)]
    figures = dict(query(project, "select key, value from latest_metrics"))
    assert figures["val/kept_loss"] == 0.1 + 0.2
    assert (figures["test/accuracy"], figures["test/roc_auc"]) == (0.625, 0.7)
    assert "test/average_precision" not in figures
    assert query(project, "select value from params where key = 'train_scratch.lr'") == [("0.001",)]
    assert files(project) == WHOLE

    before = (project.path / "mlflow.db").read_bytes()
    assert "0 runs made, 0 linked to dvc.lock, 1 there" in publish(project)
    assert (project.path / "mlflow.db").read_bytes() == before


@pytest.mark.exhaustive
@pytest.mark.parametrize("how", ["broken off", "mlruns/ deleted"])
def test_a_run_that_was_broken_off_or_has_lost_its_files_is_made_whole(project, how):
    publish(project)
    if how == "broken off":
        with sqlite3.connect(project.path / "mlflow.db") as store:  # as whoever was killed midway leaves it
            store.execute("update runs set status = 'FAILED'")
            store.execute("delete from metrics where key = 'val/loss' and step = 2")
            store.execute("delete from tags where key = 'model_sha256'")
    else:
        shutil.rmtree(project.path / "mlruns")
    assert "1 runs made" in publish(project)
    assert runs(project) == [("scratch", "FINISHED")]
    assert query(project, "select step from metrics where key = 'val/loss' order by step") == [(1,), (2,)]
    assert ("model_sha256", "sha of scratch 0.001") in query(project, TAGS)
    assert files(project) == WHOLE
    assert "1 there" in publish(project)


def test_a_run_that_was_logged_live_is_linked_and_gets_the_test_figures_it_lacks(project):
    publish(project)
    with sqlite3.connect(project.path / "mlflow.db") as store:
        store.execute("delete from tags where key = 'training_key'")
        store.execute("delete from metrics where key like 'test/%'")
        store.execute("delete from latest_metrics where key like 'test/%'")
    assert "0 runs made, 1 linked" in publish(project)
    assert query(project, "select value from latest_metrics where key = 'test/accuracy'") == [(0.625,)]
    assert len(runs(project)) == 1


@pytest.mark.exhaustive
def test_past_commits_and_experiments_are_published_by_name_also_without_their_models(project, tmp_path):
    train_again(project)
    project.run("dvc", "exp", "run", "-q", "--temp", "-n", "hot", "-S", "train_scratch.lr=0.5", "train_scratch")
    table = project.run("fakeface", "experiments").stdout.splitlines()
    assert [line.split()[1:] for line in table[1:]] == [["0.002"]] * 2 + [["0.5"]]
    assert "1 runs made" in publish(project)
    assert "2 runs made, 0 linked to dvc.lock, 1 there" in publish(project, "--all-commits", "--exp")
    first = project.run("git", "rev-parse", "--short=7", "HEAD^").stdout.strip()
    rates = "select r.name, p.value from params p join runs r using (run_uuid) where p.key = 'train_scratch.lr'"
    named = {"scratch": "0.002", f"scratch {first}": "0.001", "scratch hot": "0.5"}
    assert dict(query(project, rates)) == named
    assert query(project, "select value from tags where key = 'dvc.exp_name'") == [("hot",)]
    tested = "select name from latest_metrics join runs using (run_uuid) where key = 'test/accuracy' order by name"
    assert query(project, tested) == [("scratch",), (f"scratch {first}",)]
    assert "model.safetensors" not in files(project)

    clone = Project(tmp_path / "clone")
    project.run("git", "clone", "-q", str(project.path), str(clone.path))
    (clone.path / ".dvc" / "cache").mkdir()
    said = publish(clone, "--all-commits")
    assert "2 runs made" in said
    assert said.count("note:") == 1
    assert "2 runs are without their model" in said
    assert "nothing registered" in said
    shutil.copytree(project.path / ".dvc/cache", clone.path / ".dvc/cache", dirs_exist_ok=True)  # as `dvc pull` does
    assert "2 runs made" in publish(clone, "--all-commits")
    assert dict(query(clone, tested.replace("name from", "name, value from"))) == {
        "scratch": 0.625,
        f"scratch {first}": 0.625,
    }
    assert "2 there" in publish(clone, "--all-commits")


def test_after_git_checkout_without_dvc_checkout_no_run_gets_the_other_model(project):
    train_again(project)
    project.run("git", "checkout", "-q", "HEAD^")
    said = publish(project)
    assert "models/scratch does not match dvc.lock; `dvc checkout` restores it" in said
    assert "nothing registered" in said
    assert "model_sha256" not in dict(query(project, TAGS))
    project.run("dvc", "checkout", "-q")
    assert "1 runs made" in publish(project)
    assert dict(query(project, TAGS))["model_sha256"] == "sha of scratch 0.001"
    assert len(runs(project)) == 1


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("reports/train/scratch/metrics.json", 0),
        ("reports/train/scratch/history.csv", 0),
        ("models/scratch/card.json", 1),
        ("models/scratch/model.safetensors", 1),
        ("models/scratch/another", 1),
        ("reports/evaluate/metrics.json", 1),
    ],
)
def test_what_is_not_the_locks_is_not_published(project, path, there):
    """Without history or metrics there is no run; with another model, or other test figures, it is without them."""
    file = project.path / path
    text = file.read_text().replace("0.", "0.9") if file.exists() else "another"
    file.unlink(missing_ok=True)  # a link into DVC's cache, perhaps
    file.write_text(text)
    said = publish(project)
    assert f"{there} runs made" in said
    assert ("does not match dvc.lock" in said) == ("evaluate" not in path)
    assert len(runs(project)) == there
    assert ("model_sha256" in dict(query(project, TAGS))) == ("evaluate" in path)
    if "evaluate" in path:
        assert query(project, "select 1 from metrics where key like 'test/%'") == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("how", [shutil.copytree, shutil.move])
def test_a_project_that_was_moved_or_copied_keeps_its_files_with_itself(project, tmp_path, how):
    publish(project)
    before = [path.read_bytes() for path in sorted((project.path / "mlruns").rglob("*.json"))]
    how(project.path, tmp_path / "other place")
    other = Project(tmp_path / "other place")
    said = publish(other)
    assert "the project was moved or copied" in said
    assert "1 there already" in said
    train_again(other)
    assert "moved" not in publish(other)
    for (uri,) in query(
        other, "select artifact_uri from runs union select artifact_location from experiments where name = 'fakeface'"
    ):
        assert uri.startswith((other.path / "mlruns").as_uri())
    assert len(list((other.path / "mlruns").rglob("history.csv"))) == 2
    if how is shutil.move:
        assert not project.path.exists()
    else:
        assert [path.read_bytes() for path in sorted((project.path / "mlruns").rglob("*.json"))] == before


@pytest.mark.exhaustive
def test_the_champion_is_the_same_model_after_the_store_was_lost(tmp_path):
    project = Project(tmp_path / "project")
    write_pipeline(project, *APPROACHES)
    project.set(**{f"train_{name}": {"lr": 0.003} for name in APPROACHES})
    project.set(train_finetune={"lr": 0.001})  # 0.75 on val, all others 0.5
    project.run("dvc", "repro", "-q")
    assert "version 1 (finetune, val accuracy 0.7500) is the new champion" in publish(project)
    project.commit("champion")
    project.set(train_finetune={"lr": 0.002})
    project.run("dvc", "repro", "-q")
    assert "does not beat the champion, version 1" in publish(project)
    project.commit("worse")

    def lose() -> None:
        shutil.rmtree(project.path / "mlruns")
        (project.path / "mlflow.db").unlink()

    lose()
    said = publish(project)
    assert "version 1 (finetune) is the champion again, as reports/champion.json says; version 2 (scratch" in said
    assert champion(project) == "sha of finetune 0.001"
    project.run("fakeface", "promote", "2")
    lose()
    said = publish(project)
    assert "(scratch) is the champion again" in said
    assert champion(project) == "sha of scratch 0.003"

    lose()
    kept = project.path / "reports/champion.json"
    kept.write_text(kept.read_text().replace('md5": "', 'md5": "0'))  # as if DVC had lost it
    assert "nothing registered: the champion of reports/champion.json (scratch) is neither" in publish(project)
    kept.unlink()
    assert "is the new champion" in publish(project)


def champion(project: Project) -> str:
    return query(
        project,
        "select t.value from registered_model_aliases a join model_version_tags t on t.version = a.version "
        "where a.alias = 'champion' and t.key = 'model_sha256'",
    )[0][0]


AWAY = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


def test_a_server_away_a_damaged_store_and_no_lock_are_one_line_each_and_switched_off_it_touches_nothing(project):
    def fails(**env: str) -> str:
        result = project.run("fakeface", "publish", check=False, **env)
        assert result.returncode == 1
        assert result.stderr.count("\n") == 1
        return result.stderr

    store = project.path / "mlflow.db"
    assert fails(**AWAY).startswith("error: MLflow: ")
    store.write_bytes(b"no database" * 1000)
    assert fails().startswith("error: MLflow: ")
    assert store.read_bytes() == b"no database" * 1000
    store.unlink()
    project.set(base={"tracking": False})
    assert "nothing published" in publish(project)
    assert not store.exists()
    (project.path / "dvc.lock").unlink()
    assert fails() == "error: dvc.lock: no such file; run `dvc repro` first, in the project's root\n"


@given(st.permutations([("a", "1"), ("b", "2"), ("c", "3")]), st.sampled_from([0.1, 0.2]))
def test_the_key_rests_on_dependencies_parameters_and_outputs_not_on_their_order(deps, lr):
    paths = [{"path": path, "md5": md5} for path, md5 in deps]
    entry = {"deps": paths, "params": {"params.yaml": {"lr": lr}}, "outs": paths}
    ordered = sorted(paths, key=lambda dep: dep["path"])
    same = {"deps": ordered, "params": {"params.yaml": {"lr": 0.1}}, "outs": ordered}
    assert (training_key(entry) == training_key(same)) == (lr == 0.1)
    for side in ("deps", "outs"):
        changed = same | {side: [*ordered[:2], {"path": "c", "md5": "4"}]}
        assert training_key(changed) != training_key(same)
