"""A convolution whose weight gradient is one matrix product: for the small maps and many channels at a network's end.

There torch's own, in bf16 on a CPU, reaches half of what the processor can do (docs/performance.md).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

Pair = tuple[int, int]


class PatchConv2d(nn.Conv2d):
    """`nn.Conv2d` of 3 x 3 or so, with zero padding, without bias, groups or dilation; weights and outputs are the same.

    Only in training in bf16 on a CPU the gradient is computed otherwise, with other rounding.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled():
            kind = torch.get_autocast_dtype("cpu")
            with torch.autocast("cpu", enabled=False):
                return convolve(x.to(kind), self.weight.to(kind), self.stride, self.padding)
        return super().forward(x)


def use_patches(block: nn.Module) -> None:
    """Replaces each convolution of `block` larger than 1 x 1 by a `PatchConv2d` with the same weights."""
    for parent in list(block.modules()):
        for name, conv in list(parent.named_children()):
            if isinstance(conv, nn.Conv2d) and conv.kernel_size != (1, 1):
                patched = nn.utils.skip_init(  # draws no random numbers
                    PatchConv2d,
                    conv.in_channels,
                    conv.out_channels,
                    conv.kernel_size,
                    conv.stride,
                    conv.padding,
                    bias=False,
                )
                patched.weight = conv.weight
                setattr(parent, name, patched)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return conv2d(x, weight, None, stride, padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        by_x = by_weight = None
        if ctx.needs_input_grad[0]:
            rest = (1, 1), False, (0, 0), 1, (True, False, False)  # no dilation, one group, of x alone
            by_x, _, _ = torch.ops.aten.convolution_backward(gradient, x, weight, None, ctx.stride, ctx.padding, *rest)
        if ctx.needs_input_grad[1]:
            outputs, inputs, height, width = weight.shape
            (down, across), (top, left) = ctx.stride, ctx.padding
            padded = pad(x.permute(0, 2, 3, 1), (0, 0, left, left, top, top))
            # [B, H, W, inputs, height, width]: a view of the pixels that each output pixel has seen
            seen = padded.unfold(1, height, down).unfold(2, width, across)
            patches = seen.permute(0, 1, 2, 4, 5, 3).reshape(-1, height * width * inputs)
            by_weight = gradient.permute(0, 2, 3, 1).reshape(-1, outputs).t() @ patches
            by_weight = by_weight.view(outputs, height, width, inputs).permute(0, 3, 1, 2)
        return by_x, by_weight, None, None


convolve = _Convolve.apply
