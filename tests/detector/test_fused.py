"""Networks fused for scoring against the plain ones that they were made of."""

import pytest
import torch
from torch import nn

from fakeface.detector.backbones.fused import Fused, for_scoring
from fakeface.detector.device import Compute
from fakeface.detector.networks import NETWORKS, build

SIDE = 113  # odd, so that SAME padding is uneven in some layers and even in others
CPU = torch.device("cpu")


def network(name: str) -> nn.Module:
    """With statistics and weights of BatchNorm that are not the first ones, else folding shows nothing."""
    torch.manual_seed(0)
    model = build(name, SIDE).eval().to(memory_format=torch.channels_last)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.running_mean, layer.bias.data):
                values.normal_(0, 0.1)
            for values in (layer.running_var, layer.weight.data):
                values.uniform_(0.5, 1.5)
    return model


def logits(model: nn.Module, images: torch.Tensor, precision: str) -> torch.Tensor:
    with torch.inference_mode(), Compute(CPU, precision).autocast():
        return model(images).float()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_fused_networks_give_the_same_logits(name, precision):
    model, images = network(name), torch.randn(4, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    exact, plain = logits(model, images, "fp32"), logits(model, images, precision)
    fused = for_scoring(model, Compute(CPU, precision))
    assert any(isinstance(layer, Fused) for layer in fused.modules())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in fused.modules())
    # bf16 has 8 bits; of the two ways to round neither is the right one, so both are held to what fp32 gives
    limit = 1e-4 if precision == "fp32" else max(3 * float((plain - exact).abs().max()), 0.01)
    for rows in (images, images[:3], images):  # another shape between: weights are packed anew
        found = logits(fused, rows, precision)
        assert found.shape == (len(rows), 2)
        assert torch.allclose(found, exact[: len(rows)], rtol=0, atol=limit)
    assert torch.equal(logits(fused, images, precision), logits(fused, images, precision))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(logits(model, images, precision), plain)  # the model itself is what it was


def test_on_a_gpu_or_without_the_operators_the_model_stays_as_it_is(monkeypatch):
    model = network("mynet")
    assert for_scoring(model, Compute(torch.device("cuda"), "bf16")) is model
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    assert for_scoring(model, Compute(CPU, "bf16")) is model


def test_fused_networks_share_what_they_do_not_replace():
    """VGG has 500 MB of weights; in fp32 its linear layers need no copy."""
    model = network("vgg11")
    shared = {id(value) for value in model.parameters()} & {
        id(value) for value in for_scoring(model, Compute(CPU, "fp32")).parameters()
    }
    assert len(shared) >= 6
