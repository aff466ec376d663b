"""Compute frozen-backbone features once, so that training another head on them takes seconds.

Reads   data/split and params.yaml (base, features)
Writes  data/features/train.npy (float32 [views, n_train, F], augmented) and val.npy ([1, n_val, F])
Takes   about 20 s for the sample (360 training images, 4 views, EfficientNet-Lite0 at 224, two cores)
"""

from fakeface.errors import run
from fakeface.params import load_params


def features() -> None:
    params = load_params()  # before the heavy imports: a wrong value is answered at once

    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    import torch
    from tqdm import tqdm

    from fakeface.data.store import Dataset
    from fakeface.files import whole
    from fakeface.training.batches import PixelBatches
    from fakeface.training.device import configure
    from fakeface.training.networks import NETWORKS, backbone

    base, p = params.base, params.features
    compute = configure(base.seed, base.threads, base.device, base.precision)
    dataset = Dataset.open()
    model = backbone(p.network, p.weights).to(compute.device).to(memory_format=torch.channels_last)

    def batches(split: str) -> PixelBatches:
        return PixelBatches(
            dataset.pixels,
            dataset.labels,
            dataset.rows(split),
            NETWORKS[p.network],
            crop_size=p.crop_size,
            batch_size=p.batch_size,
            device=compute.device,
            augment=p.augment,
            seed=base.seed,
        )

    train, val = batches("train"), batches("val")
    bar = tqdm(total=p.views * len(train) + len(val), unit="batch", desc="features", disable=None)

    @torch.inference_mode()
    def write(path: Path, views: list[Iterator[tuple[torch.Tensor, torch.Tensor]]], count: int) -> None:
        width = model(torch.zeros(1, 3, p.crop_size, p.crop_size, device=compute.device)).shape[1]
        # a map of the file: what was computed need not stay in memory
        out = np.lib.format.open_memmap(path, "w+", np.float32, (len(views), count, width))
        for number, images in enumerate(views):
            start = 0
            for x, _ in images:
                with compute.autocast():
                    out[number, start : start + len(x)] = model(x).float().cpu().numpy()
                start += len(x)
                bar.update()
        out.flush()

    with whole("data/features") as folder:
        folder.mkdir()
        write(folder / "train.npy", [train.view(k) for k in range(p.views)], train.count)
        write(folder / "val.npy", [val.in_order()], val.count)
        (folder / "data_hash.txt").write_text(dataset.data_hash + "\n")
    bar.close()


if __name__ == "__main__":
    run(features, __doc__)
