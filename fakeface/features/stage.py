"""The stage `features`: several augmented views of each training image through the frozen backbone."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from fakeface.core.files import whole
from fakeface.core.params import Params
from fakeface.core.progress import progress
from fakeface.detector.backbones.fused import for_scoring
from fakeface.detector.batches import pixel_batches
from fakeface.detector.device import configure
from fakeface.detector.weights import backbone
from fakeface.images.store import Dataset


def features(params: Params) -> None:
    base, p = params.base, params.features
    compute = configure(base.seed, base.threads, base.device, base.precision)
    dataset = Dataset.open()
    model = for_scoring(
        backbone(p.network, p.weights).to(compute.device).to(memory_format=torch.channels_last), compute
    )
    train, val = pixel_batches(dataset, p, compute.scoring_batch, base.seed, compute)

    @torch.inference_mode()
    def write(path: Path, views: list[Iterator[tuple[torch.Tensor, torch.Tensor]]], batches: int, count: int) -> None:
        with compute.autocast():
            width = model(torch.zeros(1, 3, p.crop_size, p.crop_size, device=compute.device)).shape[1]
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(views), count, width)}
        with open(path, "wb") as file:  # written as computed, not kept; a map of it would crash on a full disk
            np.lib.format.write_array_header_1_0(file, header)
            for x, _ in progress(chain(*views), len(views) * batches, f"features of {path.stem}", "batch"):
                with compute.autocast():
                    seen = torch.cat([x, x]) if len(x) == 1 else x  # a single one rounds otherwise (`logits_of`)
                    file.write(model(seen)[: len(x)].float().cpu().numpy().astype("<f4").tobytes())

    with whole("data/features") as folder:
        folder.mkdir()
        write(folder / "train.npy", [train.view(k) for k in range(p.views)], len(train), train.count)
        write(folder / "val.npy", [val.in_order()], len(val), val.count)
        (folder / "data_hash.txt").write_text(dataset.data_hash + "\n")
