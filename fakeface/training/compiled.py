"""torch.compile for trainings that are long enough to gain from it."""

from collections.abc import Callable

from torch import Tensor, nn

from fakeface.detector import distributed
from fakeface.detector.batches import Batches
from fakeface.detector.device import Compute

# Steps from which a training is compiled. On an H200 compiling takes 18 s and makes a step of mynet 0.4 ms shorter and one of
# ResNet-18 at batch 4 0.43 ms (docs/performance.md): it is repaid after 45,000 steps. On a CPU steps become longer.
REPAID = 60_000


def compiled(
    network: nn.Module, train: Batches, epochs: int, compute: Compute, choice: str
) -> Callable[[Tensor], Tensor]:
    """What computes the network's forward pass on a batch [B, ...] of `train`.

    The compiler makes few kernels of what is between convolutions, so numbers round differently. It chooses none by timing it, so
    they are the same each time, also in a resumed training. An epoch's last batch, if smaller, takes the plain network.

    Args:
        choice: `on`, `off`, or `auto`: on a GPU where one process has `REPAID` steps to go, counted from the first epoch.
    """
    long = compute.device.type == "cuda" and epochs * len(train) >= REPAID and distributed.world() == 1
    if choice == "off" or (choice == "auto" and not long):
        return network
    import torch._inductor.config

    torch._inductor.config.deterministic = True
    whole = torch.compile(network, dynamic=False)
    size = distributed.part(train.batch_size)
    return lambda x: whole(x) if len(x) == size else network(x)
