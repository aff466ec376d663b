"""Images/s of `fakeface predict --fast` on a folder beside those of the evaluate stage, which finds its pixels in the store.

    python benchmarks/predict.py FOLDER --model finetune --images 2000

In turn, on one thread, in one process; what start-up costs is in neither. The ratio by the clock is what a user sees where a core
is free for decoding; by the process decoding counts wherever it ran, which on a shared machine is the one to compare. The scores
of both are compared too.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Annotated

import numpy as np
import torch
import typer

from fakeface.images.decode import decode
from fakeface.predict.detector import open_detector
from fakeface.predict.names import entries
from fakeface.predict.service import predict_images
from fakeface.predict.squares import MAX_MEGAPIXELS


def main(
    folder: str,
    model: Annotated[str | None, typer.Option(help="As for fakeface predict.")] = None,
    images: Annotated[int, typer.Option(help="The first so many of the folder.")] = 2000,
    turns: Annotated[int, typer.Option(help="Alternations after a first that is not timed.")] = 5,
    threads: int = 1,
) -> None:
    predictor = open_detector(model)
    torch.set_num_threads(threads)
    size = predictor.card["image_size"]
    paths = [entry.path for entry in entries([folder])][:images]
    pixels = np.stack([decode(path, size, MAX_MEGAPIXELS).pixels for path in paths])

    def read(path: str) -> list:
        return [decode(path, size, MAX_MEGAPIXELS)]

    def evaluate() -> np.ndarray:
        return predictor.scores(pixels, np.arange(len(pixels)))

    def predict() -> np.ndarray:
        return np.array([one.score for found in predict_images(predictor, paths, read, None) for one in found])

    if np.abs(evaluate() - predict()).max() > 1e-6:
        raise SystemExit("the scores differ")
    ratios: list[tuple[float, float]] = []
    for _ in range(turns):
        sides = {name: timed(side) for name, side in (("evaluate", evaluate), ("predict", predict))}
        for name, (clock, process) in sides.items():
            print(
                f"{name:8}  {len(paths) / clock:6.1f} images/s by the clock, {len(paths) / process:6.1f} by the process"
            )
        ratios.append((sides["evaluate"][0] / sides["predict"][0], sides["evaluate"][1] / sides["predict"][1]))
    for by, of in zip(("clock", "process"), zip(*ratios, strict=True), strict=True):
        print(f"predict / evaluate by the {by}: {median(of):.3f} ({min(of):.3f} to {max(of):.3f})")
    print(predictor.compute.describe())


def timed(side: Callable[[], np.ndarray]) -> tuple[float, float]:
    """Seconds of the clock and of the process's threads together."""
    clock, process = time.perf_counter(), time.process_time()
    side()
    return time.perf_counter() - clock, time.process_time() - process


if __name__ == "__main__":
    typer.run(main)
