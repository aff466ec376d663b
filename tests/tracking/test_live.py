"""MLflow is a view: runs land in one store, and nothing that goes wrong there stops a stage."""

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import environment

ROOT = Path(__file__).parents[2]
LOG = """
import sys, threading
from pathlib import Path
from fakeface.params import load_params
from fakeface.tracking.live import stage_run

def until_logged(run):
    done = threading.Event()
    run.attempt(done.set)
    assert done.wait(60)

params = load_params(sys.argv[1])
with stage_run("train_scratch", enabled=True, params={"base": params.base}, tags={"data_hash": "abc"}) as run:
    run.epoch({"epoch": 1, "lr": 0.1, "val_loss": 0.5})
    run.epoch({"epoch": 2, "lr": 0.1, "val_loss": 0.25})
    if len(sys.argv) > 2:
        raise ValueError("the stage itself failed")
    run.finish({"accuracy": 0.75, "val_loss": 0.125, "confusion": {"real_as_real": 3}}, [], {})
    run.tag("model_sha256", "123")
print("stage done")
"""


def start(folder: Path, *arguments: str, code: str = LOG, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, str(ROOT / "params.yaml"), *arguments]
    env = environment(PYTHONPATH=str(ROOT), **env)
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def query(store: Path, sql: str) -> list[tuple]:
    with sqlite3.connect(store) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.slow
def test_processes_that_open_a_fresh_store_at_once_all_log(tmp_path):
    processes = [start(tmp_path) for _ in range(4)]
    for process in processes:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert "stage done" in out
        assert "tracking stopped" not in err
    store = tmp_path / "mlflow.db"
    assert query(store, "select count(*) from experiments where name = 'fakeface'") == [(1,)]
    assert query(store, "select status, count(*) from runs group by status") == [("FINISHED", 4)]
    values = query(store, "select step, value from metrics where key = 'val_loss' order by step")
    assert values == [(1, 0.5)] * 4 + [(2, 0.25)] * 4
    assert query(store, "select distinct value from latest_metrics where key = 'kept_val_loss'") == [(0.125,)]
    assert query(store, "select distinct value from latest_metrics where key = 'confusion.real_as_real'") == [(3.0,)]
    assert query(store, "select distinct value from params where key = 'base.seed'") == [("0",)]
    assert query(store, "select distinct value from tags where key = 'model_sha256'") == [("123",)]


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
    _, err = start(tmp_path).communicate(timeout=120)
    assert "tracking stopped" not in err
    assert query(tmp_path / "mlflow.db", "select status from runs") == [("FINISHED",)]
    assert not amid.parent.exists()


@pytest.mark.slow
def test_the_tracking_uri_is_honoured_and_a_failed_stage_is_a_failed_run(tmp_path):
    store = tmp_path / "elsewhere.db"
    process = start(tmp_path, "fail", MLFLOW_TRACKING_URI=f"sqlite:///{store}")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "the stage itself failed" in err
    assert query(store, "select status from runs") == [("FAILED",)]
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
def test_one_error_midway_is_said_once_and_the_run_still_ends(tmp_path):
    code = LOG.replace('    run.epoch({"epoch": 2', '    run.attempt(lambda: 1 / 0)\n    run.epoch({"epoch": 2')
    process = start(tmp_path, code=code)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "stage done" in out
    assert err.count("MLflow tracking stopped") == 1
    assert query(tmp_path / "mlflow.db", "select status from runs") == [("FINISHED",)]
    assert query(tmp_path / "mlflow.db", "select step from metrics where key = 'val_loss'") == [(1,)]
    system = query(tmp_path / "mlflow.db", "select count(*) from metrics where key like 'system/cpu%'")
    assert system[0][0] >= 1  # however short the stage


@pytest.mark.slow
def test_a_second_signal_does_not_lose_how_the_run_ended(tmp_path):
    late = """    import signal
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    until_logged(run)
    run.client.set_terminated = lambda *a, end=run.client.set_terminated: (time.sleep(2), end(*a))
    print("now", flush=True)
    time.sleep(60)
    run.epoch({"epoch": 2"""
    code = LOG.replace("import sys,", "import sys, time,").replace('    run.epoch({"epoch": 2', late)
    process = start(tmp_path, code=code)
    assert process.stdout.readline() == "now\n"
    process.terminate()
    time.sleep(0.5)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert query(tmp_path / "mlflow.db", "select status from runs") == [("KILLED",)]


@pytest.mark.slow
def test_a_deleted_experiment_is_brought_back(tmp_path):
    assert start(tmp_path).wait(120) == 0
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        store.execute("update experiments set lifecycle_stage = 'deleted' where name = 'fakeface'")
    _, err = start(tmp_path).communicate(timeout=120)
    assert "tracking stopped" not in err
    assert err.count("note: the MLflow experiment fakeface was deleted; it is back, with its runs") == 1
    assert query(tmp_path / "mlflow.db", "select count(*) from runs where status = 'FINISHED'") == [(2,)]


@pytest.mark.slow
def test_a_server_that_is_away_is_said_once_and_stops_nothing(tmp_path):
    env = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    process = start(tmp_path, **env)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "stage done" in out
    assert err.count("MLflow tracking stopped") == 1
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_run_that_was_broken_off_is_gone_on_with_where_the_store_has_it(tmp_path):
    code = LOG.replace('tags={"data_hash": "abc"})', 'tags={}, run_file=Path("run"))')
    first = code.replace('    run.epoch({"epoch": 2', '    raise SystemExit(143)\n    run.epoch({"epoch": 2')
    first = first.replace("    raise SystemExit", "    until_logged(run)\n    raise SystemExit")
    assert start(tmp_path, code=first).wait(120) == 143
    store = tmp_path / "mlflow.db"
    assert query(store, "select status from runs") == [("KILLED",)]
    assert start(tmp_path, code=code).wait(120) == 0
    assert query(store, "select status from runs") == [("FINISHED",)]
    values = query(store, "select step, value from metrics where key = 'val_loss' order by step")
    assert values == [(1, 0.5), (2, 0.25)]
    other = tmp_path / "other.db"
    assert start(tmp_path, code=code, MLFLOW_TRACKING_URI=f"sqlite:///{other}").wait(120) == 0
    assert query(other, "select status from runs") == [("FINISHED",)]


def test_switched_off_it_imports_no_mlflow():
    code = LOG.replace("enabled=True", "enabled=False") + "assert 'mlflow' not in sys.modules"
    command = [sys.executable, "-c", code, str(ROOT / "params.yaml")]
    result = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "stage done" in result.stdout
