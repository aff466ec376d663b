"""Networks for fast scoring on a CPU: what follows a convolution is computed with it, not in a separate pass over memory.

BatchNorm goes into the weights (its statistics are fixed), ReLU, ReLU6 and the addition of ResNet's blocks into oneDNN's
convolution. These operators are what torch's own compiler calls, here without its half minute; torch does not document them, so
networks stay as they are where it lacks them. Nothing here has a gradient.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fakeface.detector.backbones.efficientnet import SameConv2d
from fakeface.detector.device import Compute
from fakeface.detector.networks import Head

ACTIVATIONS: dict[type, tuple[str, list[float]]] = {nn.ReLU: ("relu", []), nn.ReLU6: ("hardtanh", [0.0, 6.0])}


def for_scoring(model: nn.Module, compute: Compute) -> nn.Module:
    """A network that gives what `model` gives in evaluation mode under `compute.autocast()`, but for rounding, in
    `torch.inference_mode` only. On a GPU it is `model` itself."""
    if compute.device.type != "cpu" or not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return model
    # parameters are shared, not copied, until they are replaced: VGG and CLIP have hundreds of megabytes
    twin = copy.deepcopy(model, {id(value): value for value in model.parameters()}).eval()
    return _fuse(twin, torch.bfloat16 if compute.precision == "bf16" else torch.float32)


class Fused(nn.Module):
    """[B, C, H, W] -> [B, outputs, H', W'] of `dtype`: a convolution, then BatchNorm, an addition and an activation, where there
    are any."""

    def __init__(self, conv: nn.Conv2d, after: list[nn.Module], dtype: torch.dtype) -> None:
        super().__init__()
        norms = [layer for layer in after if isinstance(layer, nn.BatchNorm2d)]
        self.conv = fuse_conv_bn_eval(conv, norms[0]) if norms else conv
        kinds = [ACTIVATIONS[type(layer)] for layer in after if type(layer) in ACTIVATIONS]
        self.activation, self.limits = kinds[0] if kinds else ("none", [])
        self.dtype = dtype
        self.weight = self.conv.weight.detach().to(dtype, memory_format=torch.channels_last)
        self.bias = None if self.conv.bias is None else self.conv.bias.detach().to(dtype)
        self.packed: tuple[torch.Size | None, Tensor] = None, self.weight

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        x, conv = x.to(self.dtype), self.conv
        if isinstance(conv, SameConv2d):
            x = pad(x, conv.margins(x))
        how: tuple[Any, ...] = list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups
        shape, weight = self.packed
        if shape != x.shape:  # oneDNN's own order of weights depends on it
            weight = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *how, list(x.shape))
            self.packed = x.shape, weight
        convolve = torch.ops.mkldnn._convolution_pointwise
        if added is None:
            return convolve(x, weight, self.bias, *how, self.activation, self.limits, "")
        return convolve.binary(x, added, weight, self.bias, *how, "add", 1.0, self.activation, self.limits, None)


class ResNetBlock(nn.Module):
    """torchvision's BasicBlock, which calls its one ReLU twice, the second time after the addition."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self.first = Fused(block.conv1, [block.bn1, block.relu], dtype)
        self.last = Fused(block.conv2, [block.bn2, block.relu], dtype)
        self.downsample = _fuse(block.downsample or nn.Identity(), dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x), self.downsample(x))


def _fuse(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Changes it in place. All networks here name their layers in the order in which they call them."""
    layers = list(module.named_children())
    for number, (name, layer) in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            after: list[nn.Module] = []
            for kinds in ((nn.BatchNorm2d,), tuple(ACTIVATIONS)):
                if number + len(after) + 1 < len(layers):
                    following, candidate = layers[number + len(after) + 1]
                    if isinstance(candidate, kinds):
                        after.append(candidate)
                        setattr(module, following, nn.Identity())
            setattr(module, name, Fused(layer, after, dtype))
        elif isinstance(layer, nn.Linear) and not isinstance(layer, Head):
            for key, value in list(layer.named_parameters()):  # autocast would cast them in every batch
                setattr(layer, key, nn.Parameter(value.detach().to(dtype), requires_grad=False))
        elif hasattr(layer, "downsample"):
            setattr(module, name, ResNetBlock(layer, dtype))
        else:
            _fuse(layer, dtype)
    return module
