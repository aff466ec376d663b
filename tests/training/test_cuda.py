"""What only a GPU can show: recorded passes train as plain ones, an epoch never waits, crops are those of the CPU."""

import numpy as np
import pytest
import torch

from fakeface.core.params import Training
from fakeface.detector.batches import PixelBatches
from fakeface.detector.device import configure
from fakeface.detector.networks import NETWORKS, build
from fakeface.training import loop
from fakeface.training.graphs import GraphedPasses
from fakeface.training.optimizers import make_optimizer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
NUMBERS = {"lr": 0.001, "momentum": 0.9, "weight_decay": 0.0, "step_size": 7, "gamma": 0.1, "patience": 0}
WAYS = {"optimizer": "sgd", "schedule": "onecycle", "keep": "last", "balance": "class"}
SECTION = Training(epochs=2, batch_size=4, **NUMBERS, **WAYS)  # not test_loop's, which needs scikit-learn


def batches(name: str, device: torch.device, augment: str = "article") -> PixelBatches:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (18, 3, 128, 128), dtype=np.uint8)
    labels = np.arange(18) % (3 if name == "mynet" else 2)  # 2: another kind of fake
    network = NETWORKS[name]
    return PixelBatches(
        pixels, labels, np.arange(18), network, crop_size=96, batch_size=4, device=device, augment=augment
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["mynet", "vgg11", "resnet18", "efficientnet_lite0"])
def test_recorded_passes_train_as_plain_ones(name, precision, monkeypatch, capsys):
    states = []
    for recorded in (True, False):
        compute = configure(0, 2, "cuda", precision)
        model = build(name, 96).to("cuda").to(memory_format=torch.channels_last)
        with monkeypatch.context() as patch:
            if not recorded:
                patch.setattr(loop, "GraphedPasses", lambda passes, network: passes)
            data = batches(name, compute.device)
            result = loop.fit(model, data, data, SECTION, compute)
        states.append((result.history, model.state_dict()))
    assert "no CUDA graph" not in capsys.readouterr().err
    assert states[0][0] == states[1][0]
    for a, b in zip(states[0][1].values(), states[1][1].values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("augment", ["article", "crop"])
def test_an_epoch_never_makes_the_host_wait(augment):
    compute = configure(0, 2, "cuda", "bf16")
    model = build("mynet", 96).to("cuda").to(memory_format=torch.channels_last)
    passes = loop.make_passes(model, compute, torch.ones(3, device="cuda"))
    assert isinstance(passes, GraphedPasses)
    optimizer = make_optimizer(list(model.parameters()), SECTION)
    losses = torch.zeros(5, device="cuda")
    data = batches("mynet", compute.device, augment)
    data.at_once = 8  # so that pieces are made inside the epoch as well
    steps = data.train(0)
    passes(*next(steps), 4)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step, (x, y) in enumerate(steps):
            optimizer.zero_grad(set_to_none=True)
            losses[step] = passes(x, y, len(y))[0]
            optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(losses).all()


@pytest.mark.parametrize("augment", ["article", "crop", "robust", "none"])
def test_batches_are_within_a_grey_level_of_the_cpus(augment):
    on_gpu = batches("mynet", torch.device("cuda"), augment).train(0)
    on_cpu = batches("mynet", torch.device("cpu"), augment).train(0)
    level = 1.001 / 255 / min(NETWORKS["mynet"].std)
    for (x, y), (a, b) in zip(on_gpu, on_cpu, strict=True):
        assert torch.equal(y.cpu(), b)
        assert (x.cpu() - a).abs().max() <= level
