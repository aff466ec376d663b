"""From batches to logits."""

import torch
from torch import Tensor, nn

from fakeface.detector import distributed
from fakeface.detector.batches import Batches
from fakeface.detector.device import Compute


@torch.inference_mode()
def predict(
    model: nn.Module, batches: Batches, compute: Compute, *, with_mirrored: bool = False
) -> tuple[Tensor, Tensor]:
    """Logits float32 [n, 2] and labels int64 [n] on the CPU, in evaluation mode, in the order of the rows.

    Args:
        with_mirrored: the mean of the logits of each image and of its mirror image (left-right), at twice the time.
    """
    model.eval()
    # Filled, not collected: small tensors that stay, each between the large ones of its batch, would keep the memory of
    # these from being used again (`device._keep_freed_memory`), 65 MB every 1000 images
    rows = max(1, distributed.part(batches.count))  # as many as `distributed.mine` gives
    logits, labels = torch.empty(0), torch.empty(0)
    start = 0
    for x, y in batches.in_order():
        with compute.autocast():
            z = model(x).float()
            if with_mirrored:
                z = (z + model(x.flip(-1).contiguous(memory_format=torch.channels_last)).float()) / 2
        if not start:
            logits, labels = z.new_empty(rows, z.shape[1]), y.new_empty(rows)
        end = start + len(y)
        logits[start:end], labels[start:end] = z, y
        start = end
    return distributed.gather_rows(logits, batches.count).cpu(), distributed.gather_rows(labels, batches.count).cpu()
