"""The convolution with a weight gradient of its own is nn.Conv2d in all but rounding, and only where that is faster."""

import pytest
import torch
from torch import nn

from fakeface.detector.convolution import PatchConv2d, convolve, use_patches
from fakeface.detector.networks import build


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [((5, 6), (3, 3), (1, 1), (1, 1)), ((6, 7), (3, 3), (2, 2), (1, 1)), ((8, 5), (5, 3), (2, 1), (0, 2))],
)
def test_gradients_are_those_of_finite_differences(size, kernel, stride, padding):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, *kernel, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, weight: convolve(x, weight, stride, padding), (x, weight))


def passes(conv, autocast):
    """Output and gradients for one input, in channels_last."""
    torch.manual_seed(1)
    x = torch.randn(4, 16, 9, 9).to(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = conv(x)
    y.float().square().sum().backward()
    return y.detach(), x.grad, conv.weight.grad


def pair(stride):
    """nn.Conv2d and its replacement, with the same weights."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(16, 24, 3, stride, 1, bias=False)).to(memory_format=torch.channels_last)
    patched = nn.Sequential(nn.Conv2d(16, 24, 3, stride, 1, bias=False)).to(memory_format=torch.channels_last)
    patched.load_state_dict(plain.state_dict())
    use_patches(patched)
    assert type(patched[0]) is PatchConv2d
    return plain[0], patched[0]


@pytest.mark.parametrize("stride", [1, 2])
def test_in_bf16_only_the_weight_gradient_differs_and_only_by_rounding(stride):
    (y, x, weight), (ours, our_x, our_weight) = (passes(conv, autocast=True) for conv in pair(stride))
    assert torch.equal(y, ours)
    assert torch.equal(x, our_x)
    assert our_weight.dtype == torch.float32
    assert our_weight.is_contiguous(memory_format=torch.channels_last)
    assert float((weight - our_weight).abs().max() / weight.abs().max()) < 2**-7  # bf16 has 8 bits


@pytest.mark.parametrize("stride", [1, 2])
def test_in_fp32_it_is_torchs_own(stride):
    for theirs, ours in zip(*(passes(conv, autocast=False) for conv in pair(stride)), strict=True):
        assert torch.equal(theirs, ours)


def test_frozen_weights_get_no_gradient():
    conv = pair(1)[1].requires_grad_(False)
    _, x, weight = passes(conv, autocast=True)
    assert weight is None
    assert x is not None


def test_resnet18_starts_with_torchvisions_weights_and_names():
    import torchvision

    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(weights=None)
    torch.manual_seed(0)
    ours = build("resnet18", 64)
    for (name, value), (our_name, our_value) in zip(
        theirs.state_dict().items(), ours.state_dict().items(), strict=True
    ):
        assert name == our_name
        assert name.startswith("fc.") or torch.equal(value, our_value)
    assert sum(isinstance(layer, PatchConv2d) for layer in ours.modules()) == 4
