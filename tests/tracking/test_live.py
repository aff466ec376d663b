"""MLflow is a view: runs land in one store, and nothing that goes wrong there stops a stage."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from conftest import ROOT, environment

LOG = """
import json, os, sys, threading, time
from pathlib import Path
from fakeface.core.load import load_params
from fakeface.tracking import live

def until_logged(run):
    done = threading.Event()
    run.worker.actions.put(lambda *_: done.set())
    assert done.wait(120)

def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

def outputs(epochs):
    report = Path("reports/train/scratch")
    rows = [f"{epoch},0.1,0.5,0.5,{1 / epoch},0.5" for epoch in range(1, epochs + 1)]
    header = "epoch,lr,train_loss,train_accuracy,val_loss,val_accuracy"
    write(report / "history.csv", "\\n".join([header, *rows, ""]))
    write(report / "metrics.json", json.dumps({"val_loss": 0.125, "val_accuracy": 0.75, "best_epoch": 1}))
    write(Path("models/scratch/card.json"), json.dumps(facts | {"sha256": "123"}))
    write(Path("reports/cost/scratch.json"), json.dumps({"model_sha256": "123", "minutes": 0.5}))

params, facts = load_params(sys.argv[1]), {"data_hash": "a" * 64, "network": "mynet", "precision": "fp32"}
with live.TrainingRun("scratch", params, ("train_scratch",)) as run:
    run.start(os.environ.get("KEY", "key"), facts)
    for epoch in (1, 2):
        run.epoch({"epoch": epoch, "lr": 0.1, "val_loss": 1 / epoch})
        # after the epoch
    outputs(2)
print("stage done")
"""
VAL_LOSS = "select step, value from metrics where key = 'val/loss' order by step"


def start(folder: Path, code: str = LOG, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, str(ROOT / "params.yaml")]
    env = environment(PYTHONPATH=str(ROOT), **env)
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ends(process: subprocess.Popen[str], code: int = 0) -> str:
    """What it said on stderr."""
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, err
    assert ("stage done" in out) == (code == 0)
    return err


def after_epoch(line: str) -> str:
    """The stage with a line that runs after each epoch."""
    return LOG.replace("# after the epoch", line)


def query(store: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(store, timeout=20)) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.slow
def test_processes_that_open_a_fresh_store_at_once_all_log(tmp_path):
    for process in [start(tmp_path, KEY=str(n)) for n in range(4)]:
        assert "tracking stopped" not in ends(process)
    store = tmp_path / "mlflow.db"
    assert query(store, "select count(*) from experiments where name = 'fakeface'") == [(1,)]
    assert query(store, "select name, status, count(*) from runs group by name, status") == [("scratch", "FINISHED", 4)]
    assert query(store, VAL_LOSS) == [(1, 1.0)] * 4 + [(2, 0.5)] * 4
    figures = dict(query(store, "select key, value from latest_metrics"))
    assert len(figures) <= 25
    assert {name: figures[name] for name in figures if "kept" in name or "cost" in name} == {
        "val/kept_loss": 0.125,
        "val/kept_accuracy": 0.75,
        "val/kept_epoch": 1.0,
        "cost/minutes": 0.5,
    }
    assert query(store, "select distinct value from params where key = 'base.seed'") == [("0",)]
    assert query(store, "select distinct value from tags where key = 'model_sha256'") == [("123",)]
    files = sorted(path.name for path in (tmp_path / "mlruns").rglob("*") if path.is_file())
    assert files == ["card.json"] * 4 + ["history.csv"] * 4 + ["metrics.json"] * 4


@pytest.mark.slow
def test_killed_while_the_store_is_being_made_the_next_one_makes_it(tmp_path):
    process = start(tmp_path)
    amid = tmp_path / "mlflow.db.partial" / "mlflow.db"
    while not (amid.exists() and amid.stat().st_size > 0):  # migrations follow for a second or more
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=10)
    assert not (tmp_path / "mlflow.db").exists()
    (tmp_path / "mlflow.db").touch()  # as an onlooker with sqlite3 leaves it
    assert "tracking stopped" not in ends(start(tmp_path))
    assert query(tmp_path / "mlflow.db", "select status from runs") == [("FINISHED",)]
    assert not amid.parent.exists()


@pytest.mark.slow
def test_the_tracking_uri_is_honoured_and_a_failed_stage_is_a_failed_run(tmp_path):
    store = tmp_path / "elsewhere.db"
    code = after_epoch("raise ValueError('the stage itself failed')")
    assert "the stage itself failed" in ends(start(tmp_path, code, MLFLOW_TRACKING_URI=f"sqlite:///{store}"), 1)
    assert query(store, "select status from runs") == [("FAILED",)]
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
def test_one_error_midway_is_said_once_and_the_end_brings_what_was_left_out(tmp_path):
    err = ends(start(tmp_path, after_epoch("run.worker.actions.put(lambda *_: 1 / 0)")))
    assert err.count("MLflow tracking stopped (ZeroDivisionError") == 1
    assert query(tmp_path / "mlflow.db", "select status from runs") == [("FINISHED",)]
    assert query(tmp_path / "mlflow.db", VAL_LOSS) == [(1, 1.0), (2, 0.5)]


@pytest.mark.slow
def test_a_second_signal_does_not_lose_how_the_run_ended(tmp_path):
    late = """import signal
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        until_logged(run)
        import mlflow
        ended = mlflow.MlflowClient.set_terminated
        mlflow.MlflowClient.set_terminated = lambda *a: (time.sleep(2), ended(*a))
        print("now", flush=True)
        time.sleep(60)"""
    process = start(tmp_path, after_epoch(late))
    assert process.stdout.readline() == "now\n"
    process.terminate()
    time.sleep(0.5)
    process.terminate()
    ends(process, 143)
    assert query(tmp_path / "mlflow.db", "select status from runs") == [("KILLED",)]


@pytest.mark.slow
def test_a_server_that_is_away_is_said_once_and_stops_nothing(tmp_path):
    env = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    err = ends(start(tmp_path, **env))
    assert err.count("MLflow tracking stopped") == 1
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_training_that_was_broken_off_goes_on_in_its_run_where_the_store_has_it(tmp_path):
    store, other = tmp_path / "mlflow.db", tmp_path / "other.db"
    ends(start(tmp_path, after_epoch("until_logged(run); raise SystemExit(143)")), 143)
    assert query(store, "select status from runs") == [("KILLED",)]
    assert query(store, VAL_LOSS) == [(1, 1.0)]
    for _ in range(2):  # trained once more by force it is the same training, with the same model
        ends(start(tmp_path))
        assert query(store, "select status from runs") == [("FINISHED",)]
        assert query(store, VAL_LOSS) == [(1, 1.0), (2, 0.5)]
    ends(start(tmp_path, MLFLOW_TRACKING_URI=f"sqlite:///{other}"))
    assert query(other, "select status from runs") == [("FINISHED",)]


def test_switched_off_it_imports_no_mlflow(tmp_path):
    (tmp_path / "params.yaml").write_text(
        (ROOT / "params.yaml").read_text().replace("tracking: true", "tracking: false")
    )
    code = LOG.replace("sys.argv[1]", "'params.yaml'") + "assert 'mlflow' not in sys.modules"
    ends(start(tmp_path, code))
