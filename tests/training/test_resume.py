"""A resumed training ends with the bits of an uninterrupted one, wherever it was broken off; anything else starts afresh."""

import copy
import os
import shutil
import threading
import time

import pytest
import torch
from test_loop import FP32, blobs, section
from torch import nn

from fakeface.training import resume as resume_module
from fakeface.training.loop import NotFinite, fit, stopped_early
from fakeface.training.resume import KEEP_DAYS, ResumeFile, resume_key


class Stop(Exception):
    """The interruption."""


def network():
    """Convolution in channels_last, BatchNorm's buffers and dropout's random numbers: all that a state must hold."""
    torch.manual_seed(0)
    layers = [
        nn.Unflatten(1, (1, 2, 2)),
        nn.Conv2d(1, 4, 2),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(4, 2),
    ]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def train(resume=None, stop_after=None, model=None, **changes):
    """Trains 6 epochs, or stops with an error after one of them, as late as a kill could come."""
    model = model or network()

    def on_epoch(row):
        if row["epoch"] == stop_after and resume.path.exists():
            raise Stop

    result = fit(model, blobs(), blobs(seed=1), section(epochs=6, **changes), FP32, on_epoch=on_epoch, resume=resume)
    return model.state_dict(), result


@pytest.mark.parametrize("epoch", [1, 3, 6])
@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd", "schedule": "step", "step_size": 2, "lr": 0.01},
        {"optimizer": "adamw", "schedule": "onecycle", "lr": 0.003, "weight_decay": 0.01},
        {"optimizer": "adamw", "schedule": "constant", "lr": 0.003, "keep": "last"},
    ],
    ids=["sgd", "adamw", "last"],
)
def test_resumed_is_uninterrupted_bit_by_bit(tmp_path, epoch, changes):
    whole, expected = train(**changes)
    resume = ResumeFile(tmp_path, "scratch", "key")
    with pytest.raises(Stop):
        train(resume, stop_after=epoch, **changes)
    told = []
    model = network()
    result = fit(model, blobs(), blobs(seed=1), section(epochs=6, **changes), FP32, on_epoch=told.append, resume=resume)
    assert result.history == expected.history == told
    assert result.best_epoch == expected.best_epoch
    assert torch.equal(result.best_logits, expected.best_logits)
    assert all(torch.equal(value, whole[name]) for name, value in model.state_dict().items())


class Gate:
    """Stands in for a GPU: the writer waits until it is opened; `waiting`: how often it had to."""

    def __init__(self):
        self.open, self.waiting = threading.Event(), 0

    def queued(self):
        def wait():
            self.waiting += not self.open.is_set()
            assert self.open.wait(60)

        return wait


def test_beside_a_gpu_the_state_is_written_while_the_next_epoch_trains(tmp_path, monkeypatch):
    gate, resume, seen = Gate(), ResumeFile(tmp_path, "scratch", "key"), []
    monkeypatch.setattr(resume_module, "on_gpu", lambda model: True)
    monkeypatch.setattr(resume_module, "copies_queued", gate.queued)

    def on_epoch(row):
        """After the second epoch the first one's state is written; a kill then finds it, and not the second one's."""
        seen.append((row["epoch"], resume.path.exists()))
        if row["epoch"] == 1:
            threading.Timer(0.3, gate.open.set).start()
        if row["epoch"] == 2:
            gate.open.clear()
            kept = ResumeFile(tmp_path, "scratch", "key")
            kept.path = kept.path.with_suffix(".kept")
            shutil.copy(resume.path, kept.path)
            gate.open.set()
            raise Stop

    model = network()
    with pytest.raises(Stop), resume.alone():
        fit(model, blobs(), blobs(seed=1), section(epochs=6), FP32, on_epoch=on_epoch, resume=resume)
    assert seen == [(1, False), (2, True)]
    assert gate.waiting
    (tmp_path / "scratch-key.kept").rename(resume.path)
    expected, _ = train()
    state, result = train(resume)
    assert len(result.history) == 6
    assert all(torch.equal(value, expected[name]) for name, value in state.items())


def test_a_state_that_cannot_be_written_beside_the_training_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(resume_module, "on_gpu", lambda model: True)
    monkeypatch.setattr(resume_module, "copies_queued", lambda: lambda: None)
    resume = ResumeFile(tmp_path / "file", "scratch", "key")
    (tmp_path / "file").write_text("in the way of the folder")
    with pytest.raises(OSError, match="file"):
        train(resume)


def test_a_state_cut_short_is_none(tmp_path):
    resume = ResumeFile(tmp_path, "scratch", "key")
    with pytest.raises(Stop):
        train(resume, stop_after=2)
    whole = resume.path.read_bytes()
    expected, _ = train()
    for size in (0, 4, len(whole) // 2, len(whole) - 1):
        resume.path.write_bytes(whole[:size])
        state, result = train(resume)
        assert len(result.history) == 6
        assert all(torch.equal(value, expected[name]) for name, value in state.items())


def test_a_loss_that_is_not_finite_leaves_the_last_good_state(tmp_path):
    resume = ResumeFile(tmp_path, "scratch", "key")
    with pytest.raises(Stop):
        train(resume, stop_after=2)
    before = resume.path.read_bytes()
    broken = blobs()
    broken.views[0, 3] = torch.nan
    with pytest.raises(NotFinite, match=r"in epoch 3, step [1-8] of 8"):
        fit(network(), broken, blobs(seed=1), section(epochs=6), FP32, resume=resume)
    assert resume.path.read_bytes() == before


def test_the_key_follows_weights_settings_and_nothing_else():
    settings = {"train_scratch": {"lr": 0.1}, "data_hash": "abc"}
    model = network()
    key = resume_key(model, settings)
    assert key == resume_key(network(), dict(reversed(settings.items())))
    assert key != resume_key(model, {**settings, "data_hash": "abd"})
    other = copy.deepcopy(model)
    with torch.no_grad():
        other[1].weight[0, 0, 0, 0] += 1e-6
    assert key != resume_key(other, settings)


def test_the_code_is_part_of_the_key(tmp_path, monkeypatch):
    import fakeface

    (tmp_path / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(fakeface, "__file__", str(tmp_path / "__init__.py"))
    key = resume_key(network(), {})
    (tmp_path / "a.py").write_text("x = 2\n")
    assert resume_key(network(), {}) != key


def test_removing_clears_away_forgotten_states_and_no_others(tmp_path):
    old, young, own = (tmp_path / f"scratch-{name}.safetensors" for name in ("old", "young", "own"))
    for path in (old, young, own):
        path.write_bytes(b"")
    long_ago = time.time() - (KEEP_DAYS + 1) * 86400
    os.utime(old, (long_ago, long_ago))
    ResumeFile(tmp_path, "scratch", "own").remove()
    assert sorted(tmp_path.iterdir()) == [young]


def test_early_stopping_counts_epochs_without_a_better_one():
    rows = [{"val_accuracy": a, "val_loss": b} for a, b in ((0.5, 1.0), (0.7, 0.9), (0.7, 0.9), (0.6, 0.1))]
    assert not stopped_early(rows, 0)
    assert not stopped_early([], 1)
    assert [stopped_early(rows[:n], 2) for n in (1, 2, 3, 4)] == [False, False, False, True]
    assert [stopped_early(rows[:n], 1) for n in (1, 2, 3, 4)] == [False, False, True, True]


def test_a_training_stops_early_and_resumed_does_not_go_on(tmp_path):
    """Val carries the other labels, so the first epoch stays the best."""

    def run(resume):
        torch.manual_seed(0)
        model, val = nn.Linear(4, 2), blobs(seed=1, swapped=True)
        return fit(model, blobs(), val, section(epochs=9, lr=0.01, patience=3), FP32, resume=resume)

    resume = ResumeFile(tmp_path, "scratch", "key")
    first = run(resume)
    assert (len(first.history), first.best_epoch) == (4, 1)
    assert run(resume).history == first.history
