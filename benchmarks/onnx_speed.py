"""The exported ONNX file beside PyTorch: how far their scores on the test images lie apart, and images a second of each.

Needs data/split and models/ (`dvc repro` or `dvc pull`). From pixels in the store to scores, eight images at a time, turn about;
the median of the rounds. Takes 3 minutes on one core.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from fakeface.core.params import APPROACHES
from fakeface.core.run import run
from fakeface.detector.device import Compute, configure
from fakeface.detector.predictor import Predictor
from fakeface.images.store import Dataset
from fakeface.predict.export import export_onnx, session

BATCH = 8


def onnx_speed(
    threads: Annotated[int, typer.Option(min=1)] = 1,
    images: Annotated[int, typer.Option(min=1, help="In a round.")] = 64,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    dataset = Dataset.open()
    rows = dataset.rows("test")
    fp32 = configure(0, threads, "cpu", "fp32")
    bf16 = Compute(fp32.device, "bf16")
    print(f"{fp32.describe()}; {len(rows)} test images, {rounds} rounds of {min(images, len(rows))}")
    print(
        "| approach | largest difference of a score | torch fp32 | torch bf16 | onnxruntime fp32 |\n|---|---|---|---|---|"
    )
    for name in APPROACHES:
        plain, fast = (Predictor.load(f"models/{name}", compute, BATCH) for compute in (fp32, bf16))
        with tempfile.TemporaryDirectory(prefix="fakeface-onnx-") as folder:
            path = Path(folder, "detector.onnx")
            export_onnx(plain, path)
            exported = session(path, threads)
        torch.set_num_threads(threads)

        def through_onnx(chosen: np.ndarray, exported: Any = exported) -> np.ndarray:
            parts = np.array_split(chosen, range(BATCH, len(chosen), BATCH))
            return np.concatenate([exported.run(None, {"pixels": dataset.pixels[part]})[0] for part in parts])

        ways = {
            "fp32": lambda chosen, of=plain: of.scores(dataset.pixels, chosen),
            "bf16": lambda chosen, of=fast: of.scores(dataset.pixels, chosen),
            "onnx": through_onnx,
        }
        difference = np.abs(ways["fp32"](rows) - ways["onnx"](rows)).max()
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(rounds + 1):  # the first one warms up
            for way, scores in ways.items():
                started = time.perf_counter()
                scores(rows[:images])
                if turn:
                    seconds[way].append(time.perf_counter() - started)
        speeds = [f"{min(images, len(rows)) / statistics.median(of):.1f}" for of in seconds.values()]
        print(f"| {name} | {difference:.1e} | {' | '.join(speeds)} |", flush=True)


if __name__ == "__main__":
    run(onnx_speed, __doc__)
