"""Several processes train as one: the same curve as a single process, one set of outputs, and nobody left behind."""

import json
import signal
import subprocess
import sys
import time

import pandas as pd
import psutil
import pytest
from conftest import Project, environment

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]


def train(project: Project, approach: str, processes: int, **section) -> pd.DataFrame:
    project.set(
        base={"processes": processes, "precision": "fp32", "threads": 2, "tracking": False},
        **({f"train_{approach}": section} if section else {}),
    )
    project.run(sys.executable, "-m", f"stages.train_{approach}")
    return pd.read_csv(project.path / f"reports/train/{approach}/history.csv")


def test_two_processes_give_the_loss_curve_of_one(trainable):
    """mynet has no BatchNorm, so only the order of summation differs; 28 images in batches of 9: the last is one image.

    With SGD: AdamW divides each gradient by its own size, so that those that are all rounding count as much as the others.
    At lr 0.01 rounding grows: there one thread instead of two, in one process, moves the second epoch's loss by 0.4 % as well.
    """
    sgd = {"optimizer": "sgd", "schedule": "step", "step_size": 2, "lr": 0.001, "batch_size": 9}
    one = train(trainable, "scratch", 1, epochs=4, **sgd)
    two = train(trainable, "scratch", 2)
    for column in ("train_loss", "val_loss"):
        assert two[column].to_numpy() == pytest.approx(one[column].to_numpy(), rel=1e-4)
    assert (two[["train_accuracy", "val_accuracy", "lr"]] == one[["train_accuracy", "val_accuracy", "lr"]]).all(
        axis=None
    )
    card = json.loads((trainable.path / "models/scratch/card.json").read_text())
    assert card["processes"] == 2


@pytest.mark.parametrize(("approach", "processes"), [("extractor", 3), ("finetune", 2)])
def test_every_training_stage_runs_in_several_processes(trainable, approach, processes):
    """Three do not divide the batches of 16; after the first epoch the scores on val come from all of them."""
    history = train(trainable, approach, processes, epochs=2)
    assert len(history) == 2
    assert history["val_loss"].notna().all()
    card = json.loads((trainable.path / f"models/{approach}/card.json").read_text())
    assert card["processes"] == processes


def test_an_error_is_said_once_and_the_exit_code_is_1(trainable):
    trainable.set(base={"processes": 2})
    (trainable.path / "data/split/manifest.csv").rename(trainable.path / "data/split/away")
    try:
        result = trainable.run(sys.executable, "-m", "stages.train_scratch", check=False)
    finally:
        (trainable.path / "data/split/away").rename(trainable.path / "data/split/manifest.csv")
    assert result.returncode == 1
    assert result.stderr.count("error:") == 1
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_it_leaves_no_process_behind_and_goes_on(trainable, number):
    trainable.set(
        base={"processes": 2, "precision": "fp32", "threads": 2, "tracking": False}, train_scratch={"epochs": 4}
    )
    command = [sys.executable, "-m", "stages.train_scratch"]
    environ = environment(DVC_STAGE="train_scratch")
    process = subprocess.Popen(command, cwd=trainable.path, env=environ, stderr=subprocess.PIPE, text=True)
    folder = trainable.path / ".fakeface" / "resume"
    deadline = time.monotonic() + 60
    while not list(folder.glob("*.safetensors")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len([child for child in children if "stages.train_scratch" in " ".join(child.cmdline())]) == 2
    process.send_signal(number)
    process.wait(40)
    psutil.wait_procs(children, timeout=10)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    result = trainable.run(*command)
    assert "resuming after epoch" in result.stderr
    assert len(pd.read_csv(trainable.path / "reports/train/scratch/history.csv")) == 4
