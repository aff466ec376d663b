"""What each stage costs as the set grows, to a million images: the real stages, each in a process of its own.

For each size it makes small JPEG faces (smooth random pictures, real and fake of one name; every file differs) in a temporary
folder, runs `STAGES` on them in turn as `dvc repro` would, and prints a table. `mynet` is trained for one epoch, without MLflow;
its checkpoint then stands for all three approaches: what scoring, tests and pages cost does not depend on who trained it.

Seconds are those of the whole stage less its start-up (imports; the same stage on 32 images); the files are in the system's
cache, where making them left them. The exponent is that of the growth since the size before: 1 is linear. A million is
extrapolated from the two largest sizes, seconds by their exponent, at least 1, and memory by a straight line.
Memory is the stage's peak resident memory as the system counts it (ru_maxrss of that process).

An epoch trains on at most --epoch-images images, drawn at random from the whole set, and validates on a quarter as many; the
test set is a quarter of all. What is left over stays unused; store, manifest, split and audit hold all images.
"""

import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from ruamel.yaml import YAML

from fakeface.core.errors import UserError
from fakeface.core.params import APPROACHES
from fakeface.core.run import run

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("split", "audit", "train_scratch", "evaluate", "robustness", "explain", "variants", "report")
START = 32  # images of the runs that measure the start-up
FILE = 2  # bytes a pixel that a file takes at most
TRAIN, VAL, TEST = 0.6, 0.15, 0.25  # of the set, where --epoch-images does not ask for less
MILLION = 1_000_000


@dataclass(frozen=True)
class Cost:
    """What one process took: wall-clock seconds, and peak resident memory in bytes."""

    seconds: float
    peak: int


def scale(
    sizes: Annotated[str, typer.Option(help="Images in the set, real and fake together.")] = "2000,20000,100000",
    epoch_images: Annotated[int, typer.Option(min=16, help="Images that an epoch trains on, at most.")] = 16_000,
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

    costs: dict[int, dict[str, Cost]] = {}
    with tempfile.TemporaryDirectory(prefix="fakeface-scale-", dir=place) as name:
        work, made = Path(name), 0
        for images in (START, *counts):
            say(f"{images} images: making the files")
            make_faces(work / "faces", range(made // 2, images // 2), image_size, seed)
            made = images
            settings = {"epoch_images": epoch_images, "image_size": image_size, "threads": threads, "seed": seed}
            costs[images] = run_stages(work / "faces", images, **settings)
    print(f"{image_size} x {image_size} pixels, {threads} threads, seed {seed}, an epoch of at most {epoch_images}.\n")
    print_table(costs, epoch_images)


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


def run_stages(
    faces: Path, images: int, *, epoch_images: int, image_size: int, threads: int, seed: int
) -> dict[str, Cost]:
    """Runs `STAGES` on `faces` in a folder of their own beside it, which is removed afterwards."""
    place = faces.with_name("run")
    place.mkdir()
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for section in params.values():
        if "crop_size" in section:
            section["crop_size"] = image_size
    params["base"] |= {"seed": seed, "threads": threads, "device": "cpu", "image_size": image_size, "tracking": False}
    params["base"]["processes"] = 1
    train, val = (round(part * seen("train_scratch", images, epoch_images)) for part in (0.8, 0.2))
    params["split"] |= {"data": str(faces), "real": "0_real", "fake": "1_fake", "protocol": "fractions"}
    params["split"] |= {"train": train / images, "val": val / images, "test": TEST}
    params["train_scratch"] |= {"network": "mynet", "epochs": 1, "batch_size": 16, "augment": "crop"}
    params["audit"]["on_shortcut"] = "warn"  # fakes are the larger files here
    yaml.dump(params, place / "params.yaml")
    costs = {}
    for stage in STAGES:
        costs[stage] = measure([sys.executable, str(ROOT / "stages" / f"{stage}.py")], place)
        say(f"{images} images: {stage} {costs[stage].seconds:.1f} s, {costs[stage].peak / 1e6:.0f} MB")
        for other in set(APPROACHES) - {"scratch"} if stage == "train_scratch" else ():
            for made in ("models", "reports/train"):
                shutil.copytree(place / made / "scratch", place / made / other)
    shutil.rmtree(place)
    return costs


def seen(stage: str, images: int, epoch_images: int) -> float:
    """Images that a stage reads, of so many in the set."""
    epoch = min(TRAIN * images, epoch_images) * (1 + VAL / TRAIN)
    if stage == "train_scratch":
        return epoch
    return epoch * VAL / (TRAIN + VAL) + TEST * images if stage == "evaluate" else images


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


def print_table(costs: Mapping[int, Mapping[str, Cost]], epoch_images: int) -> None:
    """A Markdown table, one row a stage and size, and one extrapolated to a million where there are two sizes; `costs` of `START`
    images are the start-up."""
    sizes = sorted(set(costs) - {START})
    print("| stage | images | reads | s | exponent | peak, MB |\n|---|---|---|---|---|---|")
    for stage in STAGES:
        start = costs[START][stage].seconds
        taken = {n: max(costs[n][stage].seconds - start, 0.01) for n in sizes}
        reads = {n: seen(stage, n, epoch_images) for n in (*sizes, MILLION)}
        exponent = dict.fromkeys(sizes, math.nan)
        for a, b in pairwise(sizes):
            grown = reads[b] / reads[a]
            exponent[b] = math.log(taken[b] / taken[a]) / math.log(grown) if grown > 1 else math.nan
        for n in sizes:
            power = "" if math.isnan(exponent[n]) else f"{exponent[n]:.2f}"
            print(f"| {stage} | {n} | {reads[n]:.0f} | {taken[n]:.1f} | {power} | {costs[n][stage].peak / 1e6:.0f} |")
        if len(sizes) > 1 and sizes[-1] < MILLION:
            a, b = sizes[-2:]
            growth = max(1.0, exponent[b]) if reads[b] > reads[a] else 1.0
            seconds = taken[b] * math.pow(reads[MILLION] / reads[b], growth)
            peaks = [costs[n][stage].peak for n in (a, b)]
            peak = peaks[1] + (peaks[1] - peaks[0]) * (MILLION - b) / (b - a)
            print(f"| {stage} | {MILLION}, extrapolated | {reads[MILLION]:.0f} | {seconds:.0f} |  | {peak / 1e6:.0f} |")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(scale, __doc__)
