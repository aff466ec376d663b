"""A team's set-up on real parts, as docs/track.md gives it: MLflow on PostgreSQL, artifacts and DVC's remote on one S3 server.

Two clones: one trains and pushes, the other pulls and has nothing to run; both see the same runs. PostgreSQL is Debian's, started
here in a folder of its own; the S3 server is moto's. Everything listens on 127.0.0.1.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from conftest import BIN, Project, environment
from test_publish import write_pipeline

from fakeface.core.params import APPROACHES

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]
KEYS = {"AWS_ACCESS_KEY_ID": "team", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def postgres_folder() -> Path | None:
    """Where initdb and postgres lie; Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


@contextmanager
def running(command: list[str], log: Path, **options: object) -> Iterator[subprocess.Popen]:
    with open(log, "wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310
                return
        except OSError:
            time.sleep(0.25)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[dict[str, str]]:
    """Environment of a team member: where MLflow and S3 are."""
    binaries = postgres_folder()
    if binaries is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    logs = tmp_path_factory.mktemp("logs")
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postgres")))
        as_user: dict[str, object] = {}
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(home, "postgres", "postgres")
            as_user = {"user": "postgres", "group": "postgres", "cwd": "/"}
        data, port = home / "data", free_port()
        making = [str(binaries / "initdb"), "-D", str(data), "-U", "mlflow", "--auth=trust", "-N"]
        subprocess.run(making, check=True, capture_output=True, **as_user)  # type: ignore[call-overload]
        serving = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(home)]
        stack.enter_context(running(serving, logs / "postgres", **as_user))
        ready = [str(binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
        for _ in range(120):
            if subprocess.run(ready, capture_output=True).returncode == 0:
                break
            time.sleep(0.25)

        s3 = f"http://127.0.0.1:{free_port()}"
        command = [str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", s3.rsplit(":", 1)[1]]
        process = stack.enter_context(running(command, logs / "s3", env=environment()))
        answers(f"{s3}/moto-api/", process, logs / "s3")
        bucket = (
            "import boto3, sys; s3 = boto3.client('s3', endpoint_url=sys.argv[1]); s3.create_bucket(Bucket='fakeface')"
        )
        subprocess.run([sys.executable, "-c", bucket, s3], env=environment(**KEYS), check=True, timeout=60)

        mlflow = f"http://127.0.0.1:{free_port()}"
        options = f"--host 127.0.0.1 --port {mlflow.rsplit(':', 1)[1]} --workers 1"
        options += f" --backend-store-uri postgresql://mlflow@127.0.0.1:{port}/postgres"
        command = [str(BIN / "mlflow"), "server", *options.split(), "--artifacts-destination", "s3://fakeface/mlflow"]
        env = environment(**KEYS, MLFLOW_S3_ENDPOINT_URL=s3, MLFLOW_DISABLE_TELEMETRY="true")
        process = stack.enter_context(running(command, logs / "mlflow", env=env, cwd=logs))
        answers(f"{mlflow}/health", process, logs / "mlflow")
        yield KEYS | {"MLFLOW_TRACKING_URI": mlflow, "S3": s3}


def test_two_clones_share_results_and_runs(servers, tmp_path):
    s3 = servers["S3"]
    env = {name: value for name, value in servers.items() if name != "S3"}
    anna, ben = Project(tmp_path / "anna"), Project(tmp_path / "ben")
    write_pipeline(anna)
    anna.run("dvc", "remote", "add", "-d", "team", "s3://fakeface/dvc")
    anna.run("dvc", "remote", "modify", "team", "endpointurl", s3)
    anna.run("dvc", "repro", "-q")
    anna.commit("trained")
    anna.run("dvc", "push", "-q", "--run-cache", **env)
    assert "1 runs made" in anna.run("fakeface", "publish", **env).stdout

    anna.run("git", "clone", "-q", str(anna.path), str(ben.path))
    ben.run("dvc", "pull", "-q", "--run-cache", **env)
    assert (ben.path / "models/scratch/card.json").read_bytes() == (anna.path / "models/scratch/card.json").read_bytes()
    assert "Running stage" not in ben.run("dvc", "repro", **env).stdout
    assert "0 runs made, 0 linked to dvc.lock, 1 there already" in ben.run("fakeface", "publish", **env).stdout

    look = (
        "import mlflow; c = mlflow.MlflowClient(); e = c.get_experiment_by_name('fakeface').experiment_id\n"
        "for r in c.search_runs([e], \"tags.`dvc.stage` = 'train_scratch'\"):\n"
        "    files = [f.path for f in c.list_artifacts(r.info.run_id)]\n"
        "    print(r.data.metrics['test/accuracy'], r.data.metrics['val/kept_loss'], sorted(files))"
    )
    seen = [project.run(sys.executable, "-c", look, **env).stdout for project in (anna, ben)]
    assert seen[0] == seen[1]
    assert seen[0].count("0.625 0.30000000000000004 ['card.json', 'evaluate', 'history.csv', 'metrics.json']") == 1
    assert not list(anna.path.glob("mlflow.db*"))
    assert not list(ben.path.glob("mlruns"))


TOGETHER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from mlflow import MlflowClient
from fakeface.tracking.store import insist, open_store
client, experiment = open_store()
barrier = Barrier(8)
def work(_):
    own, refused = MlflowClient(), 0
    for i in range(20):
        barrier.wait()
        if sys.argv[1] == "insist":
            insist(own.set_experiment_tag, experiment, f"tag {i}", "same")
            continue
        try:
            own.set_experiment_tag(experiment, f"bare tag {i}", "same")
        except Exception:
            refused += 1
    return refused
with ThreadPoolExecutor(8) as pool:
    print(sum(pool.map(work, range(8))))
"""


def test_a_tag_set_by_several_at_once_is_set(servers, tmp_path):
    """MLflow's own way refuses some of them, else this shows nothing."""
    env = {name: value for name, value in servers.items() if name != "S3"}
    project = Project(tmp_path)
    refused = {how: int(project.run(sys.executable, "-c", TOGETHER, how, **env).stdout) for how in ("bare", "insist")}
    assert refused["bare"] > 0, "the store refused none: nothing was shown"
    assert refused["insist"] == 0


def test_two_clones_that_publish_at_once_make_each_run_and_version_once(servers, tmp_path):
    env = {name: value for name, value in servers.items() if name != "S3"}
    anna, ben = Project(tmp_path / "anna"), Project(tmp_path / "ben")
    write_pipeline(anna, *APPROACHES)
    aside = "import mlflow; c = mlflow.MlflowClient(); e = c.get_experiment_by_name('fakeface')\n"
    aside += "if e: c.rename_experiment(e.experiment_id, 'before')"
    anna.run(sys.executable, "-c", aside, **env)  # as on a fresh server
    anna.run("dvc", "repro", "-q")
    anna.commit("trained")
    shutil.copytree(anna.path, ben.path, symlinks=True)
    publishing = [
        subprocess.Popen(
            ["fakeface", "publish"], cwd=clone.path, env=environment(**env), stderr=subprocess.PIPE, text=True
        )
        for clone in (anna, ben)
    ]
    for process in publishing:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    look = (
        "import mlflow; c = mlflow.MlflowClient(); e = c.get_experiment_by_name('fakeface').experiment_id\n"
        "print([sorted((r.info.run_name, r.info.status) for r in c.search_runs([e])), len(c.search_model_versions())])"
    )
    runs = [(name, "FINISHED") for name in sorted(APPROACHES)]
    assert anna.run(sys.executable, "-c", look, **env).stdout.strip() == str([runs, 1])
    assert "0 runs made, 0 linked to dvc.lock, 3 there already" in ben.run("fakeface", "publish", **env).stdout
