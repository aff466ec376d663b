"""From batches to logits."""

import torch
from torch import Tensor, nn

from fakeface.training import distributed
from fakeface.training.batches import Batches
from fakeface.training.device import Compute


@torch.inference_mode()
def predict(
    model: nn.Module, batches: Batches, compute: Compute, *, with_mirrored: bool = False
) -> tuple[Tensor, Tensor]:
    """Logits float32 [n, 2] and labels int64 [n] on the CPU, in evaluation mode, in the order of the rows.

    Args:
        with_mirrored: the mean of the logits of each image and of its mirror image (left-right), at twice the time.
    """
    model.eval()
    logits, labels = [], []
    for x, y in batches.in_order():
        with compute.autocast():
            z = model(x).float()
            if with_mirrored:
                z = (z + model(x.flip(-1).contiguous(memory_format=torch.channels_last)).float()) / 2
        logits.append(z)
        labels.append(y)
    return (
        distributed.gather_rows(torch.cat(logits), batches.count).cpu(),
        distributed.gather_rows(torch.cat(labels), batches.count).cpu(),
    )
