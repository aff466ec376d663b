"""EfficientNet-Lite0 (Tan and Le 2019; Google's Lite variants, 2020): no squeeze-and-excitation, ReLU6, a fixed stem and head.

torchvision has none, and timm's, which this equals bit for bit (a test), takes each stage 2.5 s to import. Tensors have timm's
names, so its state dicts fit.
"""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

# repeats, kernel, stride of the first, channels; before them stands `Separable`
BLOCKS = ((2, 3, 2, 24), (2, 5, 2, 40), (3, 3, 2, 80), (3, 5, 1, 112), (4, 5, 2, 192), (1, 3, 1, 320))
norm = partial(nn.BatchNorm2d, eps=0.001)


class SameConv2d(nn.Conv2d):
    """TensorFlow's SAME padding: the output has ceil(S / stride) pixels, and the odd pixel of padding is below and right."""

    def margins(self, x: Tensor) -> list[int]:
        """Pixels to pad: left, right, above, below."""
        margins = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            margin = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            margins += [margin // 2, margin - margin // 2]
        return margins

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(pad(x, self.margins(x)))


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Without bias; random weights as in Google's code."""
    if stride == 1:
        conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    else:
        conv = SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    nn.init.normal_(conv.weight, std=math.sqrt(2 * groups / (kernel * kernel * outputs)))
    return conv


class Separable(nn.Module):
    """Convolve each channel by itself, then mix the channels: [B, inputs, H, W] -> [B, outputs, H, W]."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv_dw = convolution(inputs, inputs, kernel, groups=inputs)
        self.bn1 = norm(inputs)
        self.act1 = nn.ReLU6(inplace=True)
        self.conv_pw = convolution(inputs, outputs, 1)
        self.bn2 = norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act1(self.bn1(depthwise(self.conv_dw, x)))
        return self.bn2(self.conv_pw(x))


class Block(nn.Module):
    """Widen, convolve each channel by itself, narrow (Sandler et al. 2018); added to the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int = 6) -> None:
        super().__init__()
        wide = inputs * expansion
        self.conv_pw = convolution(inputs, wide, 1)
        self.bn1 = norm(wide)
        self.act1 = nn.ReLU6(inplace=True)
        self.conv_dw = convolution(wide, wide, kernel, stride, groups=wide)
        self.bn2 = norm(wide)
        self.act2 = nn.ReLU6(inplace=True)
        self.conv_pwl = convolution(wide, outputs, 1)
        self.bn3 = norm(outputs)
        self.residual = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        wide = self.act1(self.bn1(self.conv_pw(x)))
        wide = self.act2(self.bn2(depthwise(self.conv_dw, wide)))
        narrow = self.bn3(self.conv_pwl(wide))
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
        self.blocks = nn.Sequential(nn.Sequential(Separable(32, 16, 3)))
        inputs = 16
        for repeats, kernel, stride, outputs in BLOCKS:
            group = nn.Sequential()
            for number in range(repeats):
                group.append(Block(inputs, outputs, kernel, stride if number == 0 else 1))
                inputs = outputs
            self.blocks.append(group)
        self.conv_head, self.bn2, self.act2 = convolution(inputs, 1280, 1), norm(1280), nn.ReLU6(inplace=True)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(1280, classes)
