"""Training stages that are killed, stopped, or run out of disk: nothing is lost, and the end is bit for bit the same."""

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest
from conftest import Project, environment

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]
EPOCHS = 5
OUTPUTS = (
    "models/{}/model.safetensors",
    "models/{}/card.json",
    "reports/train/{}/history.csv",
    "reports/train/{}/metrics.json",
)


@pytest.fixture(scope="module")
def split(prepared) -> Iterator[Project]:
    """The prepared project with trainings long enough to be interrupted."""
    before = (prepared.path / "params.yaml").read_bytes()
    prepared.set(
        base={"tracking": False},
        train_scratch={"epochs": EPOCHS},
        train_finetune={"epochs": 2},
        train_extractor={"epochs": 300, "keep": "last"},
    )
    yield prepared
    (prepared.path / "params.yaml").write_bytes(before)


@pytest.fixture(autouse=True)
def afresh(split) -> Iterator[None]:
    """A test that failed leaves nothing that the next one would trip over."""
    before = (split.path / "params.yaml").read_bytes()
    yield
    (split.path / "params.yaml").write_bytes(before)
    shutil.rmtree(split.path / ".fakeface" / "resume", ignore_errors=True)


@pytest.fixture(scope="module")
def uninterrupted(split) -> dict[str, dict[str, bytes]]:
    """Approach -> output -> bytes of a training that nobody disturbed."""
    expected = {}
    for approach in ("scratch", "finetune", "extractor"):
        assert start(split, approach).wait(120) == 0
        expected[approach] = outputs(split, approach)
    return expected


def start(project: Project, approach: str, preexec_fn=None, **extra: str) -> subprocess.Popen[str]:
    for path in ("models", "reports/train"):
        shutil.rmtree(project.path / path / approach, ignore_errors=True)  # as DVC does before it runs a stage
    command = [sys.executable, "-m", f"stages.train_{approach}"]
    return subprocess.Popen(
        command,
        cwd=project.path,
        env=environment(**extra),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=preexec_fn,
    )


def outputs(project: Project, approach: str) -> dict[str, bytes]:
    return {name: (project.path / name.format(approach)).read_bytes() for name in OUTPUTS}


def states(project: Project, pattern: str = "*.safetensors") -> list:
    return list((project.path / ".fakeface" / "resume").glob(pattern))


def runs(project: Project, approach: str) -> list[tuple[str, str]]:
    query = "select run_uuid, status from runs where name = ? and lifecycle_stage = 'active' order by start_time"
    with sqlite3.connect(project.path / "mlflow.db") as store, suppress(sqlite3.OperationalError):  # no such table yet
        return store.execute(query, (approach,)).fetchall()
    return []


def forget_runs(project: Project) -> None:
    """As if nobody had trained yet: the same training once more would go on in its run."""
    with sqlite3.connect(project.path / "mlflow.db") as store, suppress(sqlite3.OperationalError):
        store.execute("update runs set lifecycle_stage = 'deleted'")


def logged_epochs(project: Project, run: str) -> list[int]:
    with sqlite3.connect(project.path / "mlflow.db") as store:
        query = "select step from metrics where run_uuid = ? and key = 'val/loss' order by step"
        return [step for (step,) in store.execute(query, (run,))]


def wait_for(condition, process: subprocess.Popen, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        assert process.poll() is None, "the stage ended before it could be interrupted"
        time.sleep(0.01)


# Python imports it at its start, so the stage itself is the one that users run; it dies at a moment that no clock would hit.
DIE = """
import os, pathlib, signal

def dying(name, real):
    def act(path, *args, **kwargs):
        if name == os.environ["DIE_IN"] and path.match(os.environ["DIE_AT"]):
            os.environ["DIE_AFTER"] = str(int(os.environ["DIE_AFTER"]) - 1)
            if os.environ["DIE_AFTER"] == "0":
                if path.suffix == ".partial" and path.is_file():
                    os.truncate(path, path.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
        return real(path, *args, **kwargs)
    return act

for name in ("replace", "unlink"):
    setattr(pathlib.Path, name, dying(name, getattr(pathlib.Path, name)))
"""

# moment -> Path's method, the file that it is called for, which call; is the run logged; are there epochs to go on from
MOMENTS = {
    "while the first state is being written": ("replace", "resume/*.safetensors.partial", 1, False, False),
    "while the third state is being written": ("replace", "resume/*.safetensors.partial", 3, True, True),
    "before the outputs are written": ("replace", "models/scratch.partial", 1, False, True),
    "while the last output is being written": ("replace", "reports/train/scratch/metrics.json.partial", 1, True, True),
    "when all is done but the state is still there": ("unlink", "resume/*.safetensors", 1, True, True),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_a_moment_and_started_again_it_ends_with_the_same_bits_and_one_run(
    split, uninterrupted, moment, tmp_path
):
    method, file, call, tracked, kept = MOMENTS[moment]
    split.set(base={"tracking": tracked})
    forget_runs(split)
    (tmp_path / "sitecustomize.py").write_text(DIE)
    dying = {"PYTHONPATH": str(tmp_path), "DIE_IN": method, "DIE_AT": file, "DIE_AFTER": str(call)}
    assert start(split, "scratch", **dying).wait(120) == -signal.SIGKILL
    assert len(states(split)) == kept
    goes_on_to_the_same_end(split, uninterrupted, tracked, kept)


@pytest.mark.parametrize("moment", ["as soon as its run is logged", "after an epoch"])
def test_killed_from_outside_and_started_again_it_ends_with_the_same_bits_and_one_run(split, uninterrupted, moment):
    split.set(base={"tracking": True})
    forget_runs(split)
    process = start(split, "scratch")
    wait_for(lambda: states(split) if moment == "after an epoch" else runs(split, "scratch"), process)
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    goes_on_to_the_same_end(split, uninterrupted, True, bool(states(split)))


def goes_on_to_the_same_end(split: Project, uninterrupted, tracked: bool, kept: bool) -> None:
    again = start(split, "scratch")
    _, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert ("resuming after epoch" in said) == kept
    assert outputs(split, "scratch") == uninterrupted["scratch"]
    assert states(split) == states(split, "*.safetensors.partial") == []
    new = runs(split, "scratch")
    assert [status for _, status in new] == ["FINISHED"] * tracked, said
    for run, _ in new:
        assert logged_epochs(split, run) == list(range(1, EPOCHS + 1))


@pytest.mark.parametrize("approach", ["finetune", "extractor"])
def test_every_approach_goes_on_after_a_kill(split, uninterrupted, approach):
    process = start(split, approach)
    wait_for(lambda: states(split), process)
    process.kill()
    process.wait(10)
    again = start(split, approach)
    _, said = again.communicate(timeout=120)
    assert "resuming after epoch" in said
    assert outputs(split, approach) == uninterrupted[approach]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_stop_it_does_so_at_once_and_can_go_on(split, uninterrupted, number, code):
    split.set(base={"tracking": True})
    (split.path / "mlflow.db").unlink(missing_ok=True)  # the same training, finished before, would be the same run
    process = start(split, "scratch")
    wait_for(lambda: states(split), process)
    process.send_signal(number)
    if number == signal.SIGTERM:
        time.sleep(0.3)
        process.send_signal(number)  # as from a system that stops DVC and its stage: once itself, once for DVC's end
    _, said = process.communicate(timeout=10)
    assert process.returncode == code
    assert "Traceback" not in said
    assert {status for _, status in runs(split, "scratch")} <= {
        "KILLED"
    }  # none where it was stopped before it had begun
    again = start(split, "scratch")
    assert "resuming after epoch" in again.communicate(timeout=120)[1]
    assert outputs(split, "scratch") == uninterrupted["scratch"]
    assert [status for _, status in runs(split, "scratch")] == ["FINISHED"]


@pytest.mark.parametrize("how", ["SIGTERM", "Ctrl-C"])
def test_dvc_stopped_takes_its_stage_with_it_and_goes_on(split, uninterrupted, how):
    split.run("git", "checkout", "-q", "dvc.lock", check=False)
    shutil.rmtree(split.path / "models", ignore_errors=True)
    command = ["dvc", "repro", "--single-item", "--force", "--no-run-cache", "train_scratch"]
    dvc = subprocess.Popen(
        command,
        cwd=split.path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    wait_for(lambda: states(split), dvc)
    stage = [
        child for child in psutil.Process(dvc.pid).children(recursive=True) if "stages.train_scratch" in child.cmdline()
    ]
    assert len(stage) == 1
    if how == "Ctrl-C":
        os.killpg(dvc.pid, signal.SIGINT)  # a terminal signals the whole group
    else:
        dvc.send_signal(getattr(signal, how))
    dvc.communicate(timeout=20)
    stage[0].wait(10)
    result = split.run(*command)
    assert "resuming after epoch" in result.stderr
    assert outputs(split, "scratch") == uninterrupted["scratch"]


def test_changed_parameters_do_not_go_on(split, uninterrupted):
    process = start(split, "scratch")
    wait_for(lambda: states(split), process)
    process.kill()
    process.wait(10)
    split.set(train_scratch={"lr": 0.002})
    try:
        other = start(split, "scratch")
        assert "going on" not in other.communicate(timeout=120)[1]
        assert outputs(split, "scratch") != uninterrupted["scratch"]
    finally:
        split.set(train_scratch={"lr": 0.001})
    left = states(split)
    assert len(left) == 1  # the first one's, for whoever goes back
    left[0].unlink()


def test_a_loss_that_is_not_finite_names_epoch_and_step_and_keeps_the_state(split):
    split.set(train_scratch={"optimizer": "sgd", "schedule": "constant", "lr": 30.0})
    try:
        process = start(split, "scratch")
        _, said = process.communicate(timeout=120)
    finally:
        split.set(train_scratch={"optimizer": "adamw", "schedule": "onecycle", "lr": 0.001})
    assert process.returncode == 1
    line = next(line for line in said.splitlines() if line.startswith("error:"))
    assert "epoch" in line
    assert "lower train_scratch.lr (now 30) in params.yaml" in line
    assert "Traceback" not in said
    assert not (split.path / "models/scratch").exists()


def test_a_full_disk_is_said_and_leaves_nothing_half_written(split, uninterrupted):
    """A limit on the size of a file stands in for the disk: the same error reaches the same lines."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))

    process = start(split, "scratch", preexec_fn=limit)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "cannot be written" in said
    assert "Traceback" not in said
    assert states(split) == states(split, "*.safetensors.partial") == []
    assert not (split.path / "models/scratch").exists()
    assert not (split.path / "models/scratch.partial").exists()
    again = start(split, "scratch")
    assert again.wait(120) == 0
    assert outputs(split, "scratch") == uninterrupted["scratch"]
    assert json.loads(outputs(split, "scratch")["reports/train/{}/metrics.json"])["epochs"] == EPOCHS
