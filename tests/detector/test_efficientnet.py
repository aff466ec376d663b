"""EfficientNet-Lite0 against timm's."""

import pytest
import timm
import torch

from fakeface.detector.backbones.efficientnet import Block, EfficientNetLite0
from fakeface.detector.weights import _published


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(0)
    ours, theirs = EfficientNetLite0(), timm.create_model("tf_efficientnet_lite0", pretrained=False)
    state = _published("efficientnet_lite0", ours)
    ours.load_state_dict(state)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), state.values(), strict=True)))
    return ours, theirs


def test_tensors_have_the_same_names_and_shapes_in_the_same_order(pair):
    ours, theirs = ([(name, value.shape) for name, value in model.state_dict().items()] for model in pair)
    assert ours == theirs
    assert len(ours) == 296


@pytest.mark.parametrize("size", [64, 96, 112, 225])
def test_logits_and_gradients_are_timms(pair, size):
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    for mode in (True, False):
        results = []
        for model in pair:
            model.train(mode).zero_grad()
            logits = model(x)
            logits.square().sum().backward()
            results.append([logits.detach(), *(p.grad.clone() for p in model.parameters())])
        for ours, theirs in zip(*results, strict=True):
            assert torch.equal(ours, theirs)
    for ours, theirs in zip(*(model.buffers() for model in pair), strict=True):
        assert torch.equal(ours, theirs)


def test_under_bf16_autocast_depthwise_convolutions_are_in_fp32_where_a_gradient_is_needed():
    torch.manual_seed(0)
    block = Block(8, 8, 3, 1).train()
    x = torch.randn(2, 8, 12, 12)
    seen = {}
    for name in ("conv_pw", "conv_dw", "conv_pwl"):
        block.get_submodule(name).register_forward_hook(lambda _, x, y, name=name: seen.update({name: (*x, y)}))
    bf16, fp32 = torch.bfloat16, torch.float32
    with torch.autocast("cpu", bf16):
        out = block(x)
    assert [seen[name][1].dtype for name in ("conv_pw", "conv_dw", "conv_pwl")] == [bf16, fp32, bf16]
    given, computed = seen["conv_dw"]
    wanted = torch.nn.functional.conv2d(given, block.conv_dw.weight, padding=1, groups=48)
    assert torch.equal(computed, wanted)
    out.float().square().sum().backward()
    assert all(p.grad.dtype == fp32 and p.grad.abs().sum() > 0 for p in block.parameters() if p.dim() == 4)
    with torch.inference_mode(), torch.autocast("cpu", bf16):
        block(x)
    assert seen["conv_dw"][1].dtype == bf16


def test_random_weights_keep_the_signal():
    """As timm's do: the standard deviation of the last features is of the same size."""
    torch.manual_seed(0)
    x = torch.randn(8, 3, 96, 96)
    spreads = []
    for model in (EfficientNetLite0(), timm.create_model("tf_efficientnet_lite0", pretrained=False)):
        model.train()
        last: list[torch.Tensor] = []
        model.bn2.register_forward_hook(lambda module, given, out, last=last: last.append(given[0]))
        model(x)
        spreads.append(last[0].std().item())
    assert 0.5 < spreads[0] / spreads[1] < 2
