"""torch.compile: when it is used; a compiled training is the plain one but for rounding, the same each time, and resumes."""

import pytest
import torch
from test_loop import FP32, blobs, section
from torch import nn

from fakeface.detector.device import Compute
from fakeface.training.compiled import REPAID, compiled
from fakeface.training.loop import fit
from fakeface.training.resume import ResumeFile


class Steps:
    batch_size = 4

    def __init__(self, steps):
        self.steps = steps

    def __len__(self):
        return self.steps


@pytest.mark.parametrize(
    ("device", "steps", "choice", "used"),
    [
        ("cuda", REPAID // 2, "auto", True),
        ("cuda", REPAID // 2 - 1, "auto", False),
        ("cuda", REPAID // 2, "off", False),
        ("cuda", 1, "on", True),
        ("cpu", REPAID, "auto", False),
        ("cpu", 1, "on", True),
    ],
)
def test_auto_compiles_what_repays_it(device, steps, choice, used, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda network, dynamic: lambda x: "compiled")
    network = nn.Identity()
    forward = compiled(network, Steps(steps), 2, Compute(torch.device(device), "fp32"), choice)
    assert (forward is not network) == used
    if used:
        assert forward(torch.zeros(4)) == "compiled"
        assert torch.equal(forward(torch.zeros(3)), torch.zeros(3))  # an epoch's last batch


@pytest.mark.slow
@pytest.mark.exhaustive
def test_compiled_trainings_agree_with_plain_ones_and_resume_bit_by_bit(tmp_path):
    class Stop(Exception):
        pass

    def train(compile, stop=0, resume=None):
        def on_epoch(row):
            if row["epoch"] == stop and resume.path.exists():
                raise Stop

        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
        fit(model, blobs(), blobs(seed=1), section(epochs=4), FP32, compile=compile, on_epoch=on_epoch, resume=resume)
        return model.state_dict()

    plain, first, second = train("off"), train("on"), train("on")
    resume = ResumeFile(tmp_path, "scratch", "key")
    with pytest.raises(Stop):
        train("on", 2, resume)
    resumed = train("on", 0, resume)
    for name, value in first.items():
        assert torch.equal(value, second[name])
        assert torch.equal(value, resumed[name])
        assert torch.allclose(value.float(), plain[name].float(), rtol=1e-3, atol=1e-4)
