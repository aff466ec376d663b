"""What an image costs as the set grows: the real split stage and the real training of `mynet`, each in a process of its own.

For each size it makes small JPEG faces (smooth random pictures, real and fake of one name; every file differs) in a temporary
folder, runs `stages/split.py` and `stages/train_scratch.py` (one epoch, no MLflow) on them, and prints a table.

Seconds are those of the whole stage less its start-up (imports; the same stage on 32 images). Up to 2000 images it is the
median of --repeats runs, above that one run. Each run is compared with those at 2000 images right before and right after it,
for the same work may take half as long again some minutes later; the row of 2000 itself shows what such noise is. The files
are in the system's cache, where making them left them.
Memory is the stage's peak resident memory as the system counts it (ru_maxrss of that process). "Torch's own", taken off the
training's, is the peak of a process that imports torch and does one step of the same network with one image.

An epoch trains on at most --epoch-images images, drawn at random from the whole set, and validates on a quarter as many;
the store, the manifest and the split hold all images. A large number there gives whole epochs: 60 % of the set.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from ruamel.yaml import YAML

from fakeface.core.errors import UserError
from fakeface.core.run import run

ROOT = Path(__file__).resolve().parents[1]
START = 32  # images of the runs that measure the start-up
REFERENCE = 2000  # images; costs are compared with those at this size, or at the smallest
FILE = 2  # bytes a pixel that a file takes at most
TRAIN, VAL = 0.6, 0.15  # of the set, where --epoch-images does not ask for less
BARE = """
import torch
from fakeface.detector.networks import build
torch.set_num_threads({threads})
build("mynet", {size})(torch.zeros(1, 3, {size}, {size})).sum().backward()
"""


@dataclass(frozen=True)
class Cost:
    """What one process took: wall-clock seconds, and peak resident memory in bytes."""

    seconds: float
    peak: int


@dataclass(frozen=True)
class Row:
    """What split and training cost at a size, and what they cost at the reference size right before and after each run."""

    images: int
    cost: tuple[Cost, Cost]
    beside: list[tuple[Cost, Cost]]


def scale(
    sizes: Annotated[str, typer.Option(help="Images in the set, real and fake together.")] = "1000,2000,10000,100000",
    epoch_images: Annotated[int, typer.Option(min=16, help="Images that an epoch trains on, at most.")] = 16_000,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of a size up to 2000, of which the median counts.")] = 3,
    image_size: Annotated[int, typer.Option(min=96, max=1024, help="Side of files, store and crops, pixels.")] = 96,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the stages.")] = 2,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of pictures, split and training.")] = 0,
    folder: Annotated[Path | None, typer.Option(help="Where the temporary folder is made.")] = None,
) -> None:
    counts = parse_sizes(sizes)
    place = (folder or Path(tempfile.gettempdir())).resolve()  # the stages run in other folders
    if not place.is_dir():
        raise UserError(f"{place}: no such folder; make it, or give another --folder")
    need = max(counts) * (3 + FILE) * image_size**2
    if shutil.disk_usage(place).free < need:
        raise UserError(f"{place}: {need / 1e9:.1f} GB are needed there; give another --folder, or fewer --sizes")

    with tempfile.TemporaryDirectory(prefix="fakeface-scale-", dir=place) as name:
        work = Path(name)
        settings = {"epoch_images": epoch_images, "image_size": image_size, "threads": threads, "seed": seed}
        bare = measure([sys.executable, "-c", BARE.format(threads=threads, size=image_size)], work)
        reference = REFERENCE if REFERENCE in counts else min(counts)
        make_faces(work / "start", range(START // 2), image_size, seed)
        make_faces(work / "reference", range(reference // 2), image_size, seed)
        start = middle([run_stages(work / "start", START, **settings) for _ in range(repeats)])
        made, rows = 0, []
        for images in counts:
            say(f"{images} images: making the files")
            make_faces(work / "faces", range(made // 2, images // 2), image_size, seed)
            made = images
            runs, beside = [], [run_stages(work / "reference", reference, **settings)]
            for _ in range(repeats if images <= REFERENCE else 1):
                runs.append(run_stages(work / "faces", images, **settings))
                beside.append(run_stages(work / "reference", reference, **settings))
            rows.append(Row(images, middle(runs), beside))
            say(f"{images} images: split {rows[-1].cost[0].seconds:.1f} s, epoch {rows[-1].cost[1].seconds:.1f} s")
    print(
        f"{image_size} x {image_size} pixels, {threads} threads, seed {seed}, at most {epoch_images} images an epoch."
    )
    print(f"Start-up, taken off: split {start[0].seconds:.2f} s, training {start[1].seconds:.2f} s.", end=" ")
    print(f"Peak at start-up: split {start[0].peak / 1e6:.0f} MB. Torch's own, taken off: {bare.peak / 1e6:.0f} MB.\n")
    print_table(rows, reference, start, bare, epoch_images)


def parse_sizes(text: str) -> list[int]:
    """`"1000,200"` -> [200, 1000]. Raises UserError when one is no even number of at least 100."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) >= 100 and int(part) % 2 == 0 for part in parts):
        raise UserError(f"--sizes {text}: even numbers of images, 100 or more, with commas between them")
    return sorted({int(part) for part in parts})


def make_faces(folder: Path, numbers: range, size: int, seed: int) -> None:
    """Writes the pairs of these numbers, `0_real/<number>.jpg` and `1_fake/<number>.jpg`; pair i depends on (seed, i) alone."""
    for name in ("0_real", "1_fake"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 8, (2 * size, 2 * size, 3)).astype(np.float32)
    for number in numbers:
        rng = np.random.default_rng([seed, number])
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        real = coarse.resize((size, size), Image.Resampling.BICUBIC)
        top, left = rng.integers(0, size, 2)
        fake = np.asarray(real) + noise[top : top + size, left : left + size]
        real.save(folder / "0_real" / f"{number:07d}.jpg", quality=85)
        Image.fromarray(np.clip(fake, 0, 255).astype(np.uint8)).save(
            folder / "1_fake" / f"{number:07d}.jpg", quality=85
        )


def middle(runs: list[tuple[Cost, Cost]]) -> tuple[Cost, Cost]:
    """Of split and training the run of median time; of two the faster."""
    split, train = (sorted(costs, key=lambda cost: cost.seconds) for costs in zip(*runs, strict=True))
    return split[(len(runs) - 1) // 2], train[(len(runs) - 1) // 2]


def run_stages(
    faces: Path, images: int, *, epoch_images: int, image_size: int, threads: int, seed: int
) -> tuple[Cost, Cost]:
    """Runs split and train_scratch on `faces` in a folder of their own beside it, which is removed afterwards."""
    place = faces.with_name("run")
    place.mkdir()
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    train, _ = epoch_of(images, epoch_images)
    for section in params.values():
        if "crop_size" in section:
            section["crop_size"] = image_size
    params["base"] |= {"seed": seed, "threads": threads, "device": "cpu", "image_size": image_size, "tracking": False}
    params["base"]["processes"] = 1
    val = train * VAL / TRAIN
    params["split"] |= {"data": str(faces), "real": "0_real", "fake": "1_fake", "protocol": "fractions"}
    params["split"] |= {"train": train / images, "val": val / images, "test": 1 - (train + val) / images}
    params["train_scratch"] |= {"network": "mynet", "epochs": 1, "batch_size": 16, "augment": "crop"}
    yaml.dump(params, place / "params.yaml")
    split, epoch = (
        measure([sys.executable, str(ROOT / "stages" / f"{stage}.py")], place) for stage in ("split", "train_scratch")
    )
    shutil.rmtree(place)
    return split, epoch


def epoch_of(images: int, epoch_images: int) -> tuple[float, float]:
    """Images that an epoch trains on, and all that it reads, val included."""
    train = min(TRAIN * images, epoch_images)
    return train, train * (1 + VAL / TRAIN)


def measure(command: list[str], place: Path) -> Cost:
    """Runs a command in `place`. Raises UserError with its last line when it fails."""
    log = place / "log.txt"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_"))}
    started = time.perf_counter()
    with open(log, "wb") as file:
        process = subprocess.Popen(command, cwd=place, env=environment, stdout=file, stderr=subprocess.STDOUT)
        try:
            _, status, usage = os.wait4(process.pid, 0)  # unlike getrusage(RUSAGE_CHILDREN): of this process alone
        except BaseException:  # Ctrl+C, or a signal: the stage must not go on without its folder
            process.kill()
            raise
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"]
        raise UserError(f"{' '.join(command)[:200]}: exit code {process.returncode}: {lines[-1]}")
    return Cost(seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def print_table(rows: list[Row], reference: int, start: tuple[Cost, Cost], bare: Cost, epoch_images: int) -> None:
    """A Markdown table, one row a size; `x`: cost of an image against the mean of those at the reference size beside it."""

    def per_image(images: int, k: int, cost: tuple[Cost, Cost]) -> float:
        count = epoch_of(images, epoch_images)[1] - epoch_of(START, epoch_images)[1] if k else images - START
        return (cost[k].seconds - start[k].seconds) / count

    print(f"| images | split, s | µs an image | x that at {reference} | peak, MB ", end="")
    print(f"| epoch of | s | µs an image | x that at {reference} | peak beyond torch, MB |")
    print("|---" * 10 + "|")
    for row in rows:
        cells = [f"{row.images}"]
        for k, cost in enumerate(row.cost):
            if k:
                cells.append(f"{epoch_of(row.images, epoch_images)[1]:.0f}")
            rate = per_image(row.images, k, row.cost)
            beside = fmean(per_image(reference, k, one) for one in row.beside)
            cells += [f"{cost.seconds - start[k].seconds:.1f}", f"{1e6 * rate:.0f}", f"{rate / beside:.2f}"]
            cells.append(f"{(cost.peak - (bare.peak if k else 0)) / 1e6:.0f}")
        print("| " + " | ".join(cells) + " |")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(scale, __doc__)
