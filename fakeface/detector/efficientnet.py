"""EfficientNet-Lite0 (Tan and Le 2019; Google's Lite variants, 2020): no squeeze-and-excitation, ReLU6, a fixed stem and head.

torchvision has none, and timm's, which this equals bit for bit (a test), takes each stage 2.5 s to import. Tensors have timm's
names, so its state dicts fit.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

# repeats, kernel, stride of the first, expansion, channels
BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class SameConv2d(nn.Conv2d):
    """TensorFlow's SAME padding: the output has ceil(S / stride) pixels, and the odd pixel of padding is below and right."""

    def forward(self, x: Tensor) -> Tensor:
        margins = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            margin = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            margins += [margin // 2, margin - margin // 2]
        return super().forward(pad(x, margins))


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Without bias; random weights as in Google's code."""
    if stride == 1:
        conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    else:
        conv = SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    nn.init.normal_(conv.weight, std=math.sqrt(2 * groups / (kernel * kernel * outputs)))
    return conv


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=0.001)


class Block(nn.Sequential):
    """Widen, convolve each channel by itself, narrow (Sandler et al. 2018); added to the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide, first = inputs * expansion, 1
        if expansion > 1:
            self.conv_pw, self.bn1, self.act1 = convolution(inputs, wide, 1), norm(wide), nn.ReLU6(inplace=True)
            first = 2
        self.conv_dw = convolution(wide, wide, kernel, stride, groups=wide)
        self.add_module(f"bn{first}", norm(wide))
        self.add_module(f"act{first}", nn.ReLU6(inplace=True))
        self.add_module("conv_pwl" if expansion > 1 else "conv_pw", convolution(wide, outputs, 1))
        self.add_module(f"bn{first + 1}", norm(outputs))
        self.residual = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        narrow = x
        for layer in self:
            narrow = depthwise(layer, narrow) if layer is self.conv_dw else layer(narrow)
        return narrow + x if self.residual else narrow


def depthwise(layer: nn.Module, x: Tensor) -> Tensor:
    """`layer(x)`; in fp32, rounded to bf16 again, where a CPU under bf16 autocast will need its gradient.

    The backward pass of a depthwise convolution in bf16 is so slow there that a training step takes 1.6 to 1.9 times as long.
    Without gradients bf16 is the faster one.
    """
    if x.device.type != "cpu" or not torch.is_grad_enabled() or not torch.is_autocast_enabled("cpu"):
        return layer(x)
    with torch.autocast("cpu", enabled=False):
        return layer(x.float()).to(torch.get_autocast_dtype("cpu"))


class EfficientNetLite0(nn.Sequential):
    """Normalised images [B, 3, S, S] -> logits [B, classes]."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv_stem, self.bn1, self.act1 = convolution(3, 32, 3, 2), norm(32), nn.ReLU6(inplace=True)
        self.blocks = nn.Sequential()
        inputs = 32
        for repeats, kernel, stride, expansion, outputs in BLOCKS:
            group = nn.Sequential()
            for number in range(repeats):
                group.append(Block(inputs, outputs, kernel, stride if number == 0 else 1, expansion))
                inputs = outputs
            self.blocks.append(group)
        self.conv_head, self.bn2, self.act2 = convolution(inputs, 1280, 1), norm(1280), nn.ReLU6(inplace=True)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(1280, classes)
