"""Without a terminal a training is never silent for long, however long an epoch is."""

import time

import pytest

from fakeface.training import progress


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_long_epoch_says_how_far_it_is_and_a_short_one_does_not(clock, capsys):
    with progress.ProgressBar(epochs=2, images=100, done=0) as bar:
        for _ in range(20):
            clock[0] += 10
            bar.update(5)
        bar.epoch({"epoch": 1, "train_loss": 0.5, "val_accuracy": 0.75})
        lines = capsys.readouterr().err.splitlines()
        assert lines[0] == "epoch 1/2: 15 of 100 images, 0 images/s, 370 s left"
        assert lines[1] == "epoch 1/2: 30 of 100 images, 0 images/s, 340 s left"
        assert len(lines) == 7
        assert lines[-1].startswith("epoch 1/2: train loss 0.500, val accuracy 0.750, ")
        for _ in range(20):
            clock[0] += 0.1
            bar.update(5)
        bar.epoch({"epoch": 2, "train_loss": 0.5, "val_accuracy": 0.9, "val_balanced_accuracy": 0.75})
    assert capsys.readouterr().err.splitlines() == [
        "epoch 2/2: train loss 0.500, val accuracy 0.750, 1 images/s, 0 s left"
    ]


def test_the_other_processes_are_silent(clock, capsys, monkeypatch):
    monkeypatch.setattr(progress.distributed, "rank", lambda: 1)
    with progress.ProgressBar(epochs=1, images=10, done=0) as bar:
        clock[0] += 100
        bar.update(10)
        bar.epoch({"epoch": 1, "train_loss": 0.5, "val_accuracy": 0.75})
    assert capsys.readouterr().err == ""
