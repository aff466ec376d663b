"""What a training cost: measured once, kept for the same model, and of an interrupted training all its parts."""

import json
from types import SimpleNamespace

import pytest
from test_loop import FP32, blobs, section
from test_resume import Stop, network

from fakeface.training.loop import fit
from fakeface.training.outcome import EARLIER, keep_cost
from fakeface.training.resume import ResumeFile


def test_the_first_measurement_of_a_model_stays(tmp_path):
    path = tmp_path / "reports" / "cost.json"
    keep_cost(path, "a", 100.0, 3, "one processor")
    first = path.read_bytes()
    assert json.loads(first) == {"model_sha256": "a", "minutes": 1.7, "epochs": 3, "machine": "one processor"}
    keep_cost(path, "a", 500.0, 3, "another processor")
    assert path.read_bytes() == first
    keep_cost(path, "b", 500.0, 4, "another processor")
    assert json.loads(path.read_text())["minutes"] == 8.3
    keep_cost(path, "a", 500.0, 3, "another processor")  # back again
    back = json.loads(path.read_text())
    assert back.pop("earlier") == [{"model_sha256": "b", "minutes": 8.3, "epochs": 4, "machine": "another processor"}]
    assert back == json.loads(first)
    for number in range(2 * EARLIER):
        keep_cost(path, str(number), 1.0, 1, "one processor")
    assert len(json.loads(path.read_text())["earlier"]) == EARLIER


@pytest.mark.parametrize("text", ["", "[]", "{}", "1", '{"model_sha256": "b", "earlier": 1}'])
def test_a_record_that_somebody_spoilt_is_written_again(tmp_path, text):
    path = tmp_path / "cost.json"
    path.write_text(text)
    keep_cost(path, "a", 60.0, 1, "one processor")
    assert json.loads(path.read_text())["minutes"] == 1.0


def test_an_interrupted_training_counts_its_earlier_parts(tmp_path, monkeypatch):
    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr("fakeface.training.loop.time", clock)
    resume = ResumeFile(tmp_path, "scratch", "key")

    def an_epoch_takes_ten_seconds(row):
        if clock.now < 100:
            clock.now += 10
            if row["epoch"] == 3:
                raise Stop

    def train():
        data, val = blobs(), blobs(seed=1)
        return fit(network(), data, val, section(epochs=4), FP32, on_epoch=an_epoch_takes_ten_seconds, resume=resume)

    with pytest.raises(Stop):
        train()
    clock.now = 1000  # the machine was off: not counted
    assert train().seconds == 20  # up to the last state kept, and from there the clock stands still
