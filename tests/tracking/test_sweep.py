"""DVC's experiments in temporary folders, by two queue workers: whole runs in the one store at the root."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Project, environment
from ruamel.yaml import YAML
from test_failures import own_copy
from test_publish import query

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]
RATES = ["0.0001", "0.001", "0.002", "0.01", "0.03", "0.1"]
STATUS = """
import json
from dvc.repo import Repo
print(json.dumps({task["name"]: task["status"] for task in Repo(".").experiments.celery_queue.status()}))
"""


@pytest.fixture
def project(prepared, tmp_path) -> Project:
    """A project whose every stage has run, as `dvc exp apply` wants it, committed; MLflow's store is still to be made."""
    project = own_copy(prepared, tmp_path / "project")
    project.run("dvc", "repro")
    shutil.rmtree(project.path / "mlruns")
    (project.path / "mlflow.db").unlink()
    project.commit("built")
    return project


def model(project: Project) -> str:
    """The sha256 of the extractor in the working tree."""
    return str(json.loads((project.path / "models/extractor/card.json").read_text())["sha256"])


def start_workers(project: Project) -> None:
    """Nothing captured: DVC's workers inherit what `dvc queue start` has open, and outlive it."""
    command = ["dvc", "queue", "start", "-j", "2"]
    quiet = {name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")}
    process = subprocess.Popen(command, cwd=project.path, env=environment(), start_new_session=True, **quiet)  # type: ignore[call-overload]
    assert process.wait(60) == 0


def stop_workers(project: Project) -> None:
    """Ends the workers of this project; one that does not listen to DVC (seen once in seven sweeps) is killed by its pid file."""
    project.run("dvc", "queue", "stop", "--kill", check=False)
    workers = [int(file.read_text()) for file in (project.path / ".dvc/tmp/exps/celery").glob("dvc-exp-worker-*.pid")]
    until = time.monotonic() + 20
    while any(is_worker(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.5)
    for pid in workers:
        if is_worker(pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def is_worker(pid: int) -> bool:
    try:
        return b"queue-worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def finished_by(project: Project, deadline: float) -> dict[str, str]:
    """Experiment -> status, as soon as none is waiting or running."""
    while True:
        status = json.loads(project.run(sys.executable, "-c", STATUS).stdout)
        if not {"Queued", "Running"} & set(status.values()):
            return status
        assert time.monotonic() < deadline, status
        time.sleep(6)  # asking costs a second of a core


@pytest.mark.timeout(1200)
def test_six_experiments_by_two_workers_are_six_whole_runs_and_the_best_is_applied(project):
    before = model(project)
    project.run("dvc", "exp", "run", "--queue", "-S", f"train_extractor.lr={','.join(RATES)}", "train_extractor")
    try:
        start_workers(project)
        status = finished_by(project, time.monotonic() + 900)
    finally:
        stop_workers(project)
    assert sorted(status.values()) == ["Success"] * len(RATES), status

    runs = query(project, "select run_uuid, name, status, artifact_uri from runs")
    assert sorted(name for _, name, _, _ in runs) == sorted(f"extractor {name}" for name in status)
    assert {state for _, _, state, _ in runs} == {"FINISHED"}
    rates = dict(query(project, "select run_uuid, value from params where key = 'train_extractor.lr'"))
    assert sorted(rates.values()) == sorted(RATES)
    named = query(project, "select value from tags where key = 'dvc.exp_name'")
    assert sorted(name for (name,) in named) == sorted(status)
    shas = dict(query(project, "select run_uuid, value from tags where key = 'model_sha256'"))
    for run, _, _, uri in runs:  # in the root's folder, not in the temporary ones, which are gone
        assert uri.startswith((project.path / "mlruns").as_uri())
        folder = project.path / "mlruns" / uri.split("/mlruns/")[1]
        assert json.loads((folder / "card.json").read_text())["sha256"] == shas[run]
        files = {path.name for path in folder.iterdir()}
        assert files == {"card.json", "history.csv", "metrics.json"}  # DVC has the model
    assert model(project) == before

    table = project.run("fakeface", "experiments").stdout.splitlines()
    assert table[0].split()[-1] == "train_extractor.lr"  # the one parameter that was changed
    assert table[0].split().count("val") == 3
    assert (
        table[0].split().count("test") == 3
    )  # the tree's; evaluate ran in no experiment: none has one of its own extractor
    assert {len(line.split()) for line in table[1:]} == {7, 8}
    named = {line.split()[0]: line.split()[-1] for line in table[1:]}
    assert {name: named[name] for name in status} == {name.split()[1]: rates[run] for run, name, _, _ in runs}

    published = project.run("fakeface", "publish", "--exp").stdout  # the tree's three trainings, and the six
    assert f"3 runs made, {len(RATES)} linked to dvc.lock" in published
    assert "0 runs made, 0 linked to dvc.lock" in project.run("fakeface", "publish", "--exp").stdout
    versions = query(project, "select value from model_version_tags where key = 'model_sha256'")
    assert len(versions) == 1  # of the tree: a sweep promotes nothing
    assert versions[0][0] not in shas.values()

    losses = dict(query(project, "select run_uuid, value from latest_metrics where key = 'val/kept_loss'"))
    best, name = min((losses[run], run, name.split()[1]) for run, name, _, _ in runs)[1:]
    project.run("dvc", "exp", "apply", name)
    params = YAML(typ="safe").load((project.path / "params.yaml").read_text())
    assert params["train_extractor"]["lr"] == float(rates[best])
    assert model(project) == shas[best]
    assert "up to date" in project.run("dvc", "status", "train_extractor").stdout
