"""What goes wrong with MLflow, on real parts: the stage ends well and soon, says so once, and nothing is lost."""

import os
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from conftest import BIN, ROOT, Project, environment
from ruamel.yaml import YAML
from test_live import after_epoch, query
from test_publish import write_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]
SOON = 20  # seconds; the stage waits for 6 and a busy machine takes its time
NOTE = "note: MLflow tracking stopped"
# A stage in two halves: after the first it waits for a line.
FIRST = """if "logged" in sys.argv:
            until_logged(run)
        print("first half", flush=True)
        sys.stdin.readline()
        started = time.perf_counter()
        for later in range(2, 6):
            run.epoch({"epoch": later, "lr": 0.1, "val_loss": 1 / later})
        outputs(5)
        break"""
HALVES = after_epoch(FIRST).replace("    outputs(2)\n", "")
HALVES = HALVES.replace('print("stage done")', 'print("stage done after", time.perf_counter() - started, "s")')

PATIENT = HALVES.replace("def until_logged", "live.SERVER = 60.0\n\ndef until_logged")  # however busy this machine is


class Server:
    """`mlflow server` on a SQLite file; killed, it can be started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.process = folder, folder / "server.db", None
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        options = f"--host 127.0.0.1 --port {self.port} --workers 1 --backend-store-uri sqlite:///server.db"
        command = [
            str(BIN / "mlflow"),
            "server",
            *options.split(),
            "--artifacts-destination",
            str(self.folder / "files"),
        ]
        env = environment(MLFLOW_DISABLE_TELEMETRY="true")
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        for _ in range(480):
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "log").read_text()
            with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5):  # noqa: S310
                return
            time.sleep(0.25)
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)
            self.process = None


class Proxy:
    """Passes bytes on to a server until `stall` is set; then it accepts and reads, and answers nothing."""

    def __init__(self, port: int) -> None:
        self.target, self.stall = port, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self.target)) as server:
            other = {client: server, server: client}
            while True:
                for end in select.select([client, server], [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    if not self.stall.is_set():
                        other[end].sendall(data)


def halves(folder: Path, *arguments: str, code: str = HALVES, **env: str) -> subprocess.Popen[str]:
    """The stage in two halves, its first one over."""
    command = [sys.executable, "-c", code, str(ROOT / "params.yaml"), *arguments]
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    env = environment(PYTHONPATH=str(ROOT), KEY=uuid.uuid4().hex, **env)
    process = subprocess.Popen(command, cwd=folder, env=env, text=True, **pipes)  # type: ignore[call-overload]
    line = process.stdout.readline()
    assert line == "first half\n", process.communicate()
    return process


def go_on(process: subprocess.Popen[str], noted: bool = False) -> str:
    """What was said on stderr. The stage ended well; where MLflow did not, it said so once and was held up for seconds."""
    out, err = process.communicate("\n", timeout=240)
    assert process.returncode == 0, err
    assert "stage done" in out
    assert "Traceback" not in err
    assert err.count(NOTE) == noted
    assert not noted or float(out.split()[-2]) < SOON
    return err


def until(store: Path, sql: str) -> None:
    """Waits for a first row."""
    for _ in range(240):
        if query(store, sql):
            return
        time.sleep(0.25)
    raise AssertionError(sql)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    server.wait()
    yield server
    server.kill()


def own_copy(prepared: Project, path: Path) -> Project:
    """A project of its own whose features are there, committed; experiments and runs of other tests are none of its."""
    shutil.copytree(prepared.path, path, symlinks=True)
    project = Project(path)
    for name in ("mlruns", ".fakeface"):
        shutil.rmtree(path / name, ignore_errors=True)
    (path / "mlflow.db").unlink(missing_ok=True)
    yaml = YAML()
    lock = yaml.load((path / "dvc.lock").read_text())
    lock["stages"] = {name: lock["stages"][name] for name in ("sample", "split", "features")}
    yaml.dump(lock, path / "dvc.lock")
    project.commit("features")
    return project


@pytest.mark.timeout(1200)
def test_a_server_killed_midway_costs_no_byte_and_publish_fills_the_hole(prepared, server, tmp_path):
    project = own_copy(prepared, tmp_path / "project")
    project.set(train_scratch={"epochs": 30}, base={"tracking": False})
    project.run("dvc", "repro", "-q", "-s", "train_scratch")
    made = ["models/scratch/model.safetensors", "models/scratch/card.json"]
    made += ["reports/train/scratch/history.csv", "reports/train/scratch/metrics.json", "dvc.lock"]
    before = {name: (project.path / name).read_bytes() for name in made}
    shutil.rmtree(project.path / "models")

    project.set(base={"tracking": True})
    env = {"MLFLOW_TRACKING_URI": server.uri}
    log = tmp_path / "log"
    with open(log, "wb") as file:
        command = ["dvc", "repro", "-f", "-s", "train_scratch"]
        process = subprocess.Popen(command, cwd=project.path, env=environment(**env), stdout=file, stderr=file)
    while not query(server.store, "select 1 from metrics where key = 'val/loss'"):
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    server.kill()
    assert process.poll() is None  # the training is not over
    assert process.wait(240) == 0, log.read_text()
    assert log.read_text().count(NOTE) == 1
    assert "Traceback" not in log.read_text()
    assert {name: (project.path / name).read_bytes() for name in made} == before

    assert (
        "MLflow" in project.run("fakeface", "publish", check=False, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", **env).stderr
    )
    server.start()
    server.wait()
    assert "1 runs made, 0 linked to dvc.lock, 0 there" in project.run("fakeface", "publish", **env).stdout
    whole = "select count(*) from metrics join runs using (run_uuid) where key = 'val/loss' and status = 'FINISHED'"
    assert query(server.store, whole) == [(30,)]
    assert "0 runs made, 0 linked to dvc.lock, 1 there" in project.run("fakeface", "publish", **env).stdout


def test_a_server_slow_at_start_has_the_whole_run(server, tmp_path):
    server.kill()
    process = halves(tmp_path, code=PATIENT, MLFLOW_TRACKING_URI=server.uri)
    time.sleep(3)
    assert process.poll() is None
    before = query(server.store, "select count(*) from runs where status = 'FINISHED'")[0][0]
    server.start()
    server.wait()
    until(
        server.store, "select 1 from runs where status = 'RUNNING' and name = 'scratch'"
    )  # begun once it is tried again
    go_on(process)
    assert query(server.store, "select count(*) from runs where status = 'FINISHED'") == [(before + 1,)]


WHEN = pytest.mark.parametrize("arguments", [["logged"], []], ids=["midway", "from the start"])


@WHEN
def test_a_server_that_does_not_answer_holds_up_the_end_for_seconds(server, tmp_path, arguments):
    proxy = Proxy(server.port)
    if not arguments:
        proxy.stall.set()
    process = halves(tmp_path, *arguments, MLFLOW_TRACKING_URI=proxy.uri)
    if arguments:
        proxy.stall.set()
    else:
        time.sleep(5)  # it is imported by then, and asks
    go_on(process, noted=True)


@WHEN
def test_a_store_that_another_process_has_locked(tmp_path, arguments):
    go_on(halves(tmp_path))  # makes the store
    store = tmp_path / "mlflow.db"
    if arguments:
        process = halves(tmp_path, *arguments)
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("begin exclusive")
        if not arguments:
            process = halves(tmp_path)
        err = go_on(process, noted=True)
    assert "database is locked" in err or "no answer" in err


def test_a_store_that_is_locked_for_a_while_has_the_whole_run(tmp_path):
    go_on(halves(tmp_path))
    store = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("begin exclusive")
        process = halves(tmp_path, code=PATIENT)
        time.sleep(6)
    until(store, "select 1 from runs where status = 'RUNNING'")
    go_on(process)
    assert query(store, "select count(*) from runs where status = 'FINISHED'") == [(2,)]


def test_a_store_that_cannot_be_written_is_left_as_it_is(tmp_path):
    go_on(halves(tmp_path))
    store = tmp_path / "mlflow.db"
    content = bytearray(store.read_bytes())
    content[18] = 3  # SQLite's write version: above 2 it opens the file for reading only, whoever asks
    store.write_bytes(content)
    assert "readonly database" in go_on(halves(tmp_path), noted=True)
    assert store.read_bytes() == bytes(content)


def test_a_full_disk_midway(tmp_path):
    full = """import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, -1))
        for later in"""
    code = HALVES.replace("for later in", full)
    go_on(halves(tmp_path, "logged", code=code), noted=True)
    assert query(tmp_path / "mlflow.db", "select step from metrics where key = 'val/loss'") == [(1,)]


def test_an_experiment_deleted_midway_is_back_with_the_next_run(tmp_path):
    process = halves(tmp_path, "logged")
    delete_experiment(tmp_path)
    go_on(process, noted=True)
    assert go_on(halves(tmp_path)).count("the MLflow experiment fakeface had been deleted; it was restored") == 1
    runs = query(tmp_path / "mlflow.db", "select lifecycle_stage, count(*) from runs group by lifecycle_stage")
    assert runs == [("active", 2)]


def test_a_deleted_experiment_is_published_again(tmp_path):
    project = Project(tmp_path / "project")
    write_pipeline(project)
    project.run("dvc", "repro", "-q")
    assert "1 runs made" in project.run("fakeface", "publish").stdout
    delete_experiment(project.path)
    result = project.run("fakeface", "publish")
    assert "had been deleted; it was restored with its runs" in result.stderr
    assert "0 runs made, 0 linked to dvc.lock, 1 there" in result.stdout
    assert query(project.path / "mlflow.db", "select lifecycle_stage from runs") == [("active",)]


def delete_experiment(folder: Path) -> None:
    code = "import mlflow; c = mlflow.MlflowClient('sqlite:///mlflow.db')\n"
    code += "c.delete_experiment(c.get_experiment_by_name('fakeface').experiment_id)"
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment(), check=True, timeout=120)


def test_a_stage_by_hand_logs_to_the_root_or_says_where_it_belongs(prepared, tmp_path):
    project = own_copy(prepared, tmp_path / "project")
    assert "DVC_ROOT" not in environment()
    project.run("python", "-m", "stages.train_extractor")
    assert query(project.path / "mlflow.db", "select name, status from runs") == [("extractor", "FINISHED")]
    (tmp_path / "elsewhere").mkdir()
    elsewhere = Project(tmp_path / "elsewhere")
    result = elsewhere.run("python", str(project.path / "stages/train_extractor.py"), check=False)
    assert result.returncode == 1
    assert "params.yaml: no such file" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(elsewhere.path.iterdir()) == []
