"""The whole pipeline through DVC, on a tiny sample: results, caching, comparisons, determinism, a user's own data."""

import json
import re
import shutil
import sqlite3
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import TINY, Project, copy_project, write_faces
from safetensors.torch import load_file

from fakeface.detector.weights import build_pretrained

pytestmark = pytest.mark.slow
APPROACHES = ["scratch", "extractor", "finetune"]
TRAININGS = [f"train_{name}" for name in APPROACHES]
STAGES = ["sample", "split", "audit", "features", *TRAININGS, "evaluate", "robustness", "explain", "variants", "report"]


def repro(project: Project, *arguments: str) -> list[str]:
    """Runs `dvc repro`, returns the stages that really ran, but `check`, which runs at every change of params.yaml."""
    output = project.run("dvc", "repro", *arguments).stdout
    return [name for name in re.findall(r"Running stage '([\w@-]+)'", output) if name != "check"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """One built tiny project, shared by the tests that only look at it or put back what they change."""
    project = copy_project(tmp_path_factory.mktemp("built") / "project")
    (project.path / "dvc.lock").unlink(missing_ok=True)
    project.run("git", "rm", "-rq", "--cached", "--ignore-unmatch", "reports", check=False)
    project.set(**TINY)
    project.commit("tiny parameters")
    assert repro(project) == STAGES
    project.commit("tiny")
    return project


def test_results_are_where_the_readme_says(built):
    metrics = json.loads((built.path / "reports/evaluate/metrics.json").read_text())
    assert list(metrics) == APPROACHES
    for approach, figures in metrics.items():
        for key in ("accuracy", "accuracy_real", "accuracy_fake", "average_precision", "roc_auc"):
            assert 0 <= figures[key] <= 1
        assert figures["n_test"] == 12
        assert figures["accuracy"] == pytest.approx((figures["accuracy_real"] + figures["accuracy_fake"]) / 2, abs=1e-6)
        assert (built.path / "models" / approach / "model.safetensors").is_file()
        card = json.loads((built.path / "models" / approach / "card.json").read_text())
        assert (card["approach"], card["drawings"]) == (approach, True)
        history = pd.read_csv(built.path / "reports/train" / approach / "history.csv")
        assert history["epoch"].tolist() == list(range(1, len(history) + 1))
    predictions = pd.read_csv(built.path / "reports/evaluate/predictions.csv")
    assert (predictions["split"] == "test").sum() == 12
    test = predictions[predictions["split"] == "test"]
    for approach in metrics:
        right = (test[f"score_{approach}"] >= 0.5) == test["label"]
        assert right.mean() == pytest.approx(metrics[approach]["accuracy"])
    pictures = {path.name for path in (built.path / "reports/evaluate/figures").iterdir()}
    assert {"training_images.png", "curves.png", "roc.png", "confusion.png", "predictions_finetune.png"} <= pictures


def test_predict_gives_the_scores_of_evaluate(built):
    """From the files and from the pixel store, to 1e-6: predictions.csv has as many digits. The drawings count as faces,
    which `predict` looks for first; in a few it finds none."""
    predictions = pd.read_csv(built.path / "reports/evaluate/predictions.csv").set_index("path")
    for approach in APPROACHES:
        built.run("fakeface", "predict", "data/sample", "--model", approach, "--fast", "--output", "../predicted.csv")
        scores = pd.read_csv(built.path / "../predicted.csv").drop_duplicates("path").set_index("path")["score"]
        scores.index = scores.index.str.removeprefix("data/sample/")
        assert json.loads((built.path / f"models/{approach}/card.json").read_text())["faces"]["share"] > 0.9
        assert scores.notna().mean() > 0.9
        assert (scores[predictions.index] - predictions[f"score_{approach}"]).abs().max() <= 1e-6


def test_a_second_repro_runs_nothing_and_the_tree_is_clean(built):
    assert repro(built) == []
    assert built.run("dvc", "status").stdout == "Data and pipelines are up to date.\n"
    assert built.run("git", "status", "--porcelain").stdout == ""


def shown(store: Path) -> dict[str, dict]:
    """What the runs of a store show, by name; without what a clock says or the store names."""
    queries = {
        "params": "select key, value from params where run_uuid = ?",
        "figures": "select key, value from latest_metrics where run_uuid = ?",
        "loss": "select step, value from metrics where key = 'val/loss' and run_uuid = ?",
        "tags": "select key, value from tags where run_uuid = ? and key not in "
        "('training', 'training_key', 'mlflow.source.name', 'mlflow.source.git.commit', 'git.dirty')",
    }
    with sqlite3.connect(store) as connection:
        runs = connection.execute("select name, run_uuid, artifact_uri from runs where status = 'FINISHED'").fetchall()
        found = {n: {q: dict(connection.execute(sql, (run,))) for q, sql in queries.items()} for n, run, _ in runs}
    for name, _, uri in runs:
        folder = Path(uri.removeprefix("file://"))
        found[name]["files"] = {
            path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }
    return found


def test_every_training_is_one_mlflow_run_live_and_published_alike(built, tmp_path):
    live = shown(built.path / "mlflow.db")
    assert set(live) == {"scratch", "extractor", "finetune"}
    history = pd.read_csv(built.path / "reports/train/extractor/history.csv")
    assert live["extractor"]["loss"] == pytest.approx(dict(zip(history["epoch"], history["val_loss"], strict=True)))
    figures = {name: set(run["figures"]) for name, run in live.items()}
    assert figures["scratch"] == figures["extractor"] == figures["finetune"]
    assert figures["scratch"] >= {
        "val/kept_accuracy",
        "test/accuracy",
        "test/balanced_accuracy_at_threshold",
        "test/roc_auc",
        "robustness/mean",
        "cost/minutes",
    }
    assert len(figures["scratch"]) <= 25
    finetune = live["finetune"]
    assert (
        finetune["tags"]["data_hash"]
        == json.loads((built.path / "reports/split/summary.json").read_text())["data_hash"]
    )
    assert finetune["tags"]["dvc.stage"] == "train_finetune"
    assert finetune["params"]["train_finetune.lr"] == "0.001"
    files = {path.as_posix() for path in finetune["files"]}
    assert files >= {
        "card.json",
        "history.csv",
        "metrics.json",
        "evaluate/predictions_finetune.png",
        "robustness/jpeg.png",
    }

    store = tmp_path / "other.db"
    built.run("fakeface", "publish", MLFLOW_TRACKING_URI=f"sqlite:///{store}")
    (built.path / "reports/champion.json").unlink()
    published = shown(store)
    files = [Path("detector") in path.parents for run in published.values() for path in run["files"]]
    assert sum(files) > 0  # the registered version's
    for run in (*live.values(), *published.values()):
        run["files"] = {path: text for path, text in run["files"].items() if path.parts[0] != "detector"}
    assert published == live


def test_the_finetune_lr_reruns_finetune_and_what_scores_it_only(built):
    built.set(train_finetune={"lr": 0.002})
    assert repro(built) == ["train_finetune", "evaluate", "robustness", "explain", "variants", "report"]
    diff = built.run("dvc", "metrics", "diff", "--json").stdout
    assert "reports/train/finetune/metrics.json" in diff
    assert "history.csv" in built.run("dvc", "plots", "diff", "--json").stdout
    built.run("git", "checkout", "-q", "params.yaml")
    assert repro(built) == []  # the run cache gives the earlier outputs back
    page = (built.path / "reports/index.html").read_bytes()
    built.run("python", "-m", "stages.report")  # the cost of both models is remembered
    assert (built.path / "reports/index.html").read_bytes() == page
    built.run("git", "checkout", "-q", "reports/cost")
    assert built.run("git", "status", "--porcelain").stdout == ""


def test_the_head_lr_reruns_no_backbone_and_takes_under_20_seconds(built):
    built.set(train_extractor={"lr": 0.005})
    started = time.perf_counter()
    assert repro(built, "train_extractor") == ["train_extractor"]
    assert time.perf_counter() - started < 20
    built.run("git", "checkout", "-q", "params.yaml", "reports/cost")
    repro(built)


@pytest.mark.exhaustive
def test_frozen_is_bit_identical_and_moving_is_the_articles_way(built):
    """BatchNorm statistics of the extractor: those of the pretrained weights, or moved by training images."""
    pretrained = build_pretrained("efficientnet_lite0", "imagenet").state_dict()

    def moved() -> list[str]:
        trained = load_file(built.path / "models/extractor/model.safetensors")
        return [name for name, value in trained.items() if not torch.equal(value, pretrained[name])]

    assert moved() == ["classifier.bias", "classifier.weight"]
    built.set(train_extractor={"batchnorm": "moving", "epochs": 1})
    assert repro(built, "train_extractor") == ["train_extractor"]
    names = moved()
    assert "bn1.running_mean" in names
    assert not [name for name in names if name.endswith(".weight") and name != "classifier.weight"]
    built.run("git", "checkout", "-q", "params.yaml", "reports/cost")
    repro(built)


def test_tracking_is_no_result_and_can_be_switched_off(built):
    built.set(base={"tracking": False})
    assert repro(built) == ["report"]  # which shows all parameters
    code = "import sys, stages.train_extractor as s; s.train_extractor()"
    code += "; assert not {'mlflow', 'torch._dynamo'} & set(sys.modules)"
    built.run("python", "-c", code)
    built.run("git", "checkout", "-q", "params.yaml", "dvc.lock", "reports/cost")
    assert built.run("dvc", "status").stdout == "Data and pipelines are up to date.\n"


@pytest.mark.exhaustive
def test_extra_sets_are_scored_without_training_and_watched_by_dvc(built, tmp_path):
    write_faces(tmp_path / "both", 5, seed=3)
    write_faces(tmp_path / "reals", 4, seed=4)
    shutil.rmtree(tmp_path / "reals" / "1_fake")
    sets = {"both": str(tmp_path / "both"), "only-reals": str(tmp_path / "reals")}
    try:
        built.set(evaluate={"extra_sets": sets})
        assert repro(built) == ["extra@both", "extra@only-reals", "report"]  # the page shows all parameters
        report = built.path / "reports/extra"
        both = json.loads((report / "both/metrics.json").read_text())
        assert both["scratch"]["n_test"] == 10
        assert (both["skipped"], both["images_seen_in_training"]) == (0, 0)
        predictions = pd.read_csv(report / "both/predictions.csv")
        assert predictions["label"].tolist() == [0] * 5 + [1] * 5
        assert predictions["source"].tolist() == [0, 1, 2, 3, 4] * 2
        for approach in APPROACHES:
            right = (predictions[f"score_{approach}"] >= 0.5) == predictions["label"]
            assert right.mean() == pytest.approx(both[approach]["accuracy"])
        reals = json.loads((report / "only-reals/metrics.json").read_text())["scratch"]
        assert reals["false_positive_rate"] == pytest.approx(1 - reals["accuracy"])
        assert "roc_auc" not in reals
        assert "There are only reals: " in (report / "only-reals/table.md").read_text()
        assert repro(built) == []
        assert built.run("dvc", "metrics", "show").returncode == 0
        assert not list((built.path / ".fakeface").glob("extra*"))

        # an image of the training set in it is counted; a change in the folder runs that set alone
        manifest = pd.read_csv(built.path / "data/split/manifest.csv")
        seen = manifest.loc[(manifest["split"] == "train") & (manifest["label"] == 0), "path"].iloc[0]
        shutil.copy(built.path / "data/sample" / seen, tmp_path / "reals/0_real/9999.jpg")
        assert repro(built) == ["extra@only-reals", "report"]
        assert "1 of 5 images were seen in training: too optimistic" in (built.path / "reports/index.html").read_text()
        assert json.loads((report / "only-reals/metrics.json").read_text())["images_seen_in_training"] == 1

        (tmp_path / "both/1_fake/0000.jpg").write_bytes(b"")
        result = built.run("python", "-m", "stages.extra", "both", check=False)
        assert result.returncode == 1
        assert "1_fake/0000.jpg: is empty" in result.stderr
        assert "Traceback" not in result.stderr
        result = built.run("python", "-m", "stages.extra", "other", check=False)
        assert "evaluate.extra_sets has no 'other'; it has both, only-reals" in result.stderr
    finally:
        shutil.rmtree(built.path / "reports/extra", ignore_errors=True)
        built.run("git", "checkout", "-q", "params.yaml", "dvc.lock", "reports/cost")
    assert repro(built) == []
    assert built.run("git", "status", "--porcelain").stdout == ""


def test_calibration_and_comparisons_are_in_the_reports(built):
    for approach in APPROACHES:
        card = json.loads((built.path / "models" / approach / "card.json").read_text())
        assert card["temperature"] > 0
        metrics = json.loads((built.path / "reports/train" / approach / "metrics.json").read_text())
        assert card["temperature"] == metrics["temperature"]
    pairs = pd.read_csv(built.path / "reports/evaluate/pairs.csv")
    assert pairs["pair"].tolist() == ["scratch - extractor", "scratch - finetune", "extractor - finetune"]
    assert pairs["images"].tolist() == [12] * 3
    manifest = pd.read_csv(built.path / "data/split/manifest.csv")
    photos = manifest.loc[manifest["split"] == "test", "source"].nunique()
    assert pairs["photos"].tolist() == [photos] * 3
    table = pd.read_csv(built.path / "reports/evaluate/figures.csv").set_index(["approach", "figure"])
    metrics = json.loads((built.path / "reports/evaluate/metrics.json").read_text())
    for approach, row in metrics.items():
        assert row["accuracy"] == table.loc[(approach, "accuracy"), "value"]
        low = table.loc[(approach, "accuracy"), "low"]  # none where every resample gives the same figure
        assert row.get("accuracy_low", "none") == (low if low == low else "none")


@pytest.mark.exhaustive
def test_an_experiment_lands_in_the_store_at_the_root(built):
    built.run("dvc", "exp", "run", "--temp", "-n", "warm", "-S", "train_finetune.lr=0.01")
    with sqlite3.connect(built.path / "mlflow.db") as store:
        names = [name for (name,) in store.execute("select name from runs where status = 'FINISHED'")]
    assert "finetune warm" in names
    assert "scratch warm" not in names
    assert "warm" in built.run("dvc", "exp", "show", "--csv").stdout


@pytest.mark.exhaustive
def test_a_fresh_run_gives_a_byte_identical_lock(built, tmp_path):
    again = copy_project(tmp_path / "again")
    (again.path / "params.yaml").write_bytes((built.path / "params.yaml").read_bytes())
    for cost in built.path.glob("reports/cost/*.json"):  # in git: the first measurement counts
        (again.path / cost.relative_to(built.path)).write_bytes(cost.read_bytes())
    (again.path / "dvc.lock").unlink(missing_ok=True)
    assert repro(again) == STAGES
    assert (again.path / "dvc.lock").read_bytes() == (built.path / "dvc.lock").read_bytes()


@pytest.mark.exhaustive
def test_own_faces_travel_with_dvc_add_push_and_pull(project, tmp_path):
    """The commands of docs/data.md with a local remote: add, push, clone, pull, and nothing has to run again."""
    write_faces(project.path / "data" / "raw", 12)
    assert "data/raw" not in project.run("git", "status", "--porcelain", "-uall").stdout  # faces never go to git
    project.run("dvc", "add", "data/raw")
    project.set(sample={"count": 0}, split={"data": "data/raw", "train": 0.5, "val": 0.25, "test": 0.25})
    project.run("dvc", "remote", "add", "-d", "storage", str(tmp_path / "storage"))
    assert repro(project, "split") == ["split"]
    project.run("dvc", "push", "split", "data/raw.dvc")
    project.run("git", "add", ".dvc/config", "data/raw.dvc", "data/.gitignore", "params.yaml", "dvc.lock", "reports")
    project.run("git", "commit", "-qm", "My faces")

    clone = Project(tmp_path / "clone")
    project.run("git", "clone", "-q", str(project.path), str(clone.path))
    clone.run("dvc", "pull", "split", "data/raw.dvc")
    assert repro(clone, "split") == []
    for name in ("data/raw/0_real/0003.jpg", "data/split/pixels.npy"):
        assert (clone.path / name).read_bytes() == (project.path / name).read_bytes()


def test_the_leaky_split_says_what_it_leaks(project, faces):
    project.set(split={"data": str(faces), "train": 0.5, "val": 0.25, "test": 0.25})
    project.run("python", "-m", "stages.split")
    path = project.path / "reports/split/summary.json"
    assert json.loads(path.read_text())["test_images_with_twin_in_train"] == 0
    project.set(split={"group_by": "none"})
    project.run("python", "-m", "stages.split")
    summary = json.loads(path.read_text())
    manifest = pd.read_csv(project.path / "data/split/manifest.csv")
    train = set(manifest.loc[manifest["split"] == "train", "source"])
    leaked = manifest.loc[manifest["split"] == "test", "source"].isin(train).sum()
    assert summary["test_images_with_twin_in_train"] == leaked > 0
