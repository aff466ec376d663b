"""What an augmentation costs an image: milliseconds to read, degrade, crop and normalise a batch, nothing else.

Run from the project's root after `dvc repro split`:

    python benchmarks/augment.py --threads 2
"""

import statistics
import time

import torch
import typer

from fakeface.detector.batches import PixelBatches
from fakeface.detector.networks import NETWORKS
from fakeface.images.store import Dataset


def main(threads: int = 2, images: int = 256, batch_size: int = 16, crop_size: int = 128, turns: int = 5) -> None:
    """Prints the median of several turns for each augmentation, taken in turn; a first one is not timed."""
    torch.set_num_threads(threads)
    dataset = Dataset.open()
    rows = dataset.rows("train")[:images]
    seconds: dict[str, list[float]] = {name: [] for name in ("none", "crop", "article", "robust")}
    for turn in range(turns + 1):
        for name, times in seconds.items():
            batches = PixelBatches(
                dataset.pixels,
                dataset.labels,
                rows,
                NETWORKS["mynet"],
                crop_size=crop_size,
                batch_size=batch_size,
                device=torch.device("cpu"),
                augment=name,
            )
            started = time.perf_counter()
            for _ in batches.train(turn):
                pass
            if turn:
                times.append(time.perf_counter() - started)
    for name, times in seconds.items():
        print(f"{name:8} {statistics.median(times) / len(rows) * 1000:5.2f} ms an image")


if __name__ == "__main__":
    typer.run(main)
