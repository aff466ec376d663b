"""CUDA graphs: the passes of a batch recorded once and replayed.

At the article's batches of 4 and 16 a GPU computes faster than Python can start its kernels; a replay starts all of them
at once. https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fakeface.core.errors import one_line

Outputs = tuple[Tensor, ...]
Passes = Callable[[Tensor, Tensor, int], Outputs]
WARM_UP = 3  # cuDNN and cuBLAS choose and allocate in their first calls


def record(work: Callable[[], Outputs]) -> tuple[Outputs, Callable[[], None]]:
    """Records what `work` starts on the GPU: its outputs, in memory that stays theirs, and a function that fills them again."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            work()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = work()
    return outputs, graph.replay


class GraphedPasses:
    """`passes` for batches of the shape that comes first, recorded with it; another shape, as an epoch's last, runs as it is.

    Recording leaves no trace: buffers (BatchNorm's statistics) and random numbers are as before. What cannot be recorded
    is reported once and runs as it is.

    Args:
        passes: (x, y, images in the batch) -> tensors on the device; leaves gradients in the model's parameters and
            reads nothing back.
        model: in the same mode, training or evaluation, at every call.
    """

    def __init__(self, passes: Passes, model: nn.Module) -> None:
        self.passes, self.model = passes, model
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.inputs: tuple[Tensor, Tensor] | None = None
        self.gradients: list[Tensor | None] = []
        self.outputs: Outputs = ()
        self.replay: Callable[[], None] | None = None

    def __call__(self, x: Tensor, y: Tensor, size: int) -> Outputs:
        """The outputs hold until the next call."""
        if self.inputs is None:
            self._record(x, y, size)
        assert self.inputs is not None
        if self.replay is None or x.shape != self.inputs[0].shape:
            self._clear()
            return self.passes(x, y, size)
        for mine, given in zip(self.inputs, (x, y), strict=True):
            mine.copy_(given)
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        self.replay()
        return self.outputs

    def _record(self, x: Tensor, y: Tensor, size: int) -> None:
        self.inputs = inputs = x.clone(), y.clone()
        before = [buffer.clone() for buffer in self.model.buffers()]

        def work() -> Outputs:
            self._clear()
            return self.passes(*inputs, size)

        try:
            with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
                self.outputs, self.replay = record(work)
            self.gradients = [p.grad for p in self.parameters]
        except RuntimeError as error:
            said = f"note: no CUDA graph of this network, so it trains more slowly ({one_line(error)})"
            print(said, file=sys.stderr)
        with torch.no_grad():
            for buffer, value in zip(self.model.buffers(), before, strict=True):
                buffer.copy_(value)

    def _clear(self) -> None:
        """Gradients are allocated again in each backward pass; a recorded one finds its own memory for them."""
        for parameter in self.parameters:
            parameter.grad = None
