"""From batches to logits."""

import torch
from torch import Tensor, nn

from fakeface.training import distributed
from fakeface.training.batches import Batches
from fakeface.training.device import Compute


@torch.inference_mode()
def predict(model: nn.Module, batches: Batches, compute: Compute) -> tuple[Tensor, Tensor]:
    """Logits float32 [n, 2] and labels int64 [n] on the CPU, in evaluation mode, in the order of the rows."""
    model.eval()
    logits, labels = [], []
    for x, y in batches.in_order():
        with compute.autocast():
            logits.append(model(x).float())
        labels.append(y)
    return (
        distributed.gather_rows(torch.cat(logits), batches.count).cpu(),
        distributed.gather_rows(torch.cat(labels), batches.count).cpu(),
    )
