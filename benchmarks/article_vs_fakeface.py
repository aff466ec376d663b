"""Trains and scores the article's way and fakeface's, on the same images for the same number of epochs, in turn.

    python benchmarks/article_vs_fakeface.py --data DIR --device cpu --approach scratch --approach finetune

DIR holds `0_real` and `1_fake`. The article's way: ImageFolder, PIL transforms, DataLoader with worker processes, fp32, NCHW,
its batch sizes, a validation pass after every epoch, a frozen network run in full in every epoch. Fakeface's way is the
package's own code. Each side is a process of its own, so that its memory is its own; only one computes at a time, and the
other sleeps on a pipe.

    scratch      one epoch of mynet, batch 16                   finetune    one epoch of the pretrained network, batch 4
    extractor    a new head on the frozen network, batch 4,     finetune32  the same with batch 32 on both sides
                 25 epochs                                      evaluation  scores of --images images

An epoch trains on --images images and validates on a third as many, as 1499 to 500 are. Of the extractor's training the
article's side runs one epoch, which is multiplied; fakeface's side runs whole. Times begin when both sides have done the
task once; memory is the peak of that first time: on a CPU that of the process and its workers (`peak.py`; the pixel store's
pages count), on a GPU what torch has allocated. The pixel store is made before: its time is printed. The ceiling is a product
of two large matrices in the side's precision, after every turn. Nothing here imports dvc, mlflow or
pandas: torch, torchvision, numpy, Pillow, safetensors and tqdm are enough.
"""

import argparse
import contextlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from peak import PeakMemory

ROOT = Path(__file__).resolve().parents[1]
SIDES = ("article", "fakeface")
APPROACHES: dict[str, dict[str, Any]] = {
    "scratch": {"kind": "train", "batch": 16, "our_batch": 16},
    "extractor": {"kind": "extractor", "batch": 4, "our_batch": 0},
    "finetune": {"kind": "train", "batch": 4, "our_batch": 4},
    "finetune32": {"kind": "train", "batch": 32, "our_batch": 32},
    "evaluation": {"kind": "evaluate", "batch": 4, "our_batch": 0},
}
UNWANTED = ("dvc", "mlflow", "pandas", "pydantic", "ruamel", "sklearn", "typer", "timm")


def main() -> None:
    args = parse_args()
    sys.path.insert(0, str(ROOT))  # a bare machine has torch but not this package installed
    from fakeface.core.run import run_app

    run_app(lambda: benchmark(args))


def parse_args() -> argparse.Namespace:
    description, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with 0_real and 1_fake")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--approach", action="append", choices=APPROACHES, help="may be given several times; all if not given")
    add("--images", type=positive, default=96, help="images an epoch trains on, or that are scored (default 96)")
    add("--alternations", type=positive, default=5, help="times that both sides do the task in turn (default 5)")
    add("--network", choices=("resnet18", "efficientnet_lite0"), default="resnet18", help="the pretrained network")
    add("--weights", default="none", help="imagenet, none (random: no matter for the speed) or a state dict's path")
    add("--views", type=positive, default=4, help="augmented views whose features fakeface caches (default 4)")
    add("--epochs", type=positive, default=25, help="of the extractor's training (default 25)")
    add("--crop", type=positive, default=224, help="side of the networks' input, pixels, 96 to 256 (default 224)")
    add("--threads", type=positive, default=os.cpu_count() or 1, help="of torch (default: the number of cores)")
    add("--workers", type=int, default=2, help="processes of the article's DataLoader (default 2)")
    add("--seed", type=int, default=0)
    add("--matrix", type=positive, help="side of the ceiling's matrices (default 4096, on a GPU 8192)")
    add("--json", type=Path, help="write everything measured to this file")
    args = parser.parse_args()
    if not 96 <= args.crop <= 256:
        parser.error("--crop: 96 to 256")
    return args


def positive(text: str) -> int:
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def benchmark(args: argparse.Namespace) -> None:
    chosen = choose_images(args.data, args.images, args.seed)
    train, val = chosen
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="fakeface-bench-") as folder:
        store = Path(folder, "pixels.npy")
        seconds = write_store(store, args.data, [*train, *val], args.threads)
        megabytes = store.stat().st_size / 1e6
        say(
            f"pixel store of {len(train) + len(val)} images: {seconds:.2f} s, {megabytes:.1f} MB; made once, not counted below"
        )
        for name in args.approach or APPROACHES:
            approach = APPROACHES[name]
            evaluates = approach["kind"] == "evaluate"
            task = approach | {
                "network": "mynet" if name == "scratch" else args.network,
                "weights": args.weights,
                "epochs": args.epochs,
                "views": args.views,
                "crop": args.crop,
                "data": str(args.data.resolve()),
                "train": [] if evaluates else train,
                "val": train if evaluates else val,
                "store": str(store),
                "device": args.device,
                "threads": args.threads,
                "workers": args.workers,
                "seed": args.seed,
                "matrix": args.matrix or (8192 if args.device == "cuda" else 4096),
            }
            results[name] = summary(alternate(name, task, args.alternations), task, megabytes)
    print_table(results)
    if args.json:
        settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
        store_facts = {"images": len(train) + len(val), "seconds": seconds, "megabytes": megabytes}
        text = json.dumps({"settings": settings, "store": store_facts, "results": results}, indent=2)
        args.json.write_text(text + "\n", encoding="utf-8")


def choose_images(data: Path, images: int, seed: int) -> tuple[list[str], list[str]]:
    """Paths inside `data`: `images` to train on, a third as many to validate on, of both classes alike."""
    from fakeface.core.errors import UserError
    from fakeface.images.decode import find_images

    found = find_images(data, "0_real", "1_fake")
    parts: tuple[list[str], list[str]] = ([], [])
    each, third = max(1, images // 2), max(1, images // 6)
    for label in (0, 1):
        paths = [item.path for item in found if item.label == label]
        if len(paths) < each + third:
            most = len(paths) * 6 // 4
            raise UserError(f"{data}: {len(paths)} images of one class are too few; give --images {most} or less")
        random.Random(seed).shuffle(paths)
        parts[0].extend(paths[:each])
        parts[1].extend(paths[each : each + third])
    return parts


def write_store(path: Path, data: Path, paths: list[str], threads: int, side: int = 256) -> float:
    """Decodes as the stage `split` does into uint8 [N, 3, side, side]. Returns the seconds that it took."""
    import numpy as np

    from fakeface.images.decode import decode

    started = time.perf_counter()
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(paths), 3, side, side))
    with ThreadPoolExecutor(threads) as pool:
        for row, image in enumerate(pool.map(lambda name: decode(data / name, side, 50), paths)):
            pixels[row] = image.pixels
    pixels.flush()
    return time.perf_counter() - started


class Side:
    """A child process, see `sides.py`."""

    def __init__(self, name: str, task: dict[str, Any]) -> None:
        self.name = name
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (lives as long as the process)
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "benchmarks" / "sides.py"), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=os.environ | {"PYTHONPATH": path},
            text=True,
        )
        self.facts = self.ask(json.dumps(task))

    def ask(self, line: str) -> dict[str, Any]:
        """Sends a line and waits for the answer. Raises UserError with the child's last words when it has ended."""
        from fakeface.core.errors import UserError

        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.log.seek(0)
            words = self.log.read().strip().splitlines() or ["no message"]
            raise UserError(f"the {self.name} side ended with exit code {self.process.wait()}: {words[-1]}")
        result: dict[str, Any] = json.loads(answer)
        return result

    def close(self) -> None:
        self.process.communicate()
        self.log.close()


def alternate(name: str, task: dict[str, Any], alternations: int) -> dict[str, dict[str, Any]]:
    """For each side: seconds and ceilings of every alternation, peak memory in bytes (None where it cannot be read)."""
    measured: dict[str, dict[str, Any]] = {}
    with contextlib.ExitStack() as stack:
        sides: list[Side] = []
        for name_of_side in SIDES:
            side = Side(name_of_side, task)
            stack.callback(side.close)
            sides.append(side)
            peak = PeakMemory(side.process.pid)
            with peak:
                first = side.ask("round")
            measured[side.name] = side.facts | {
                "seconds": [],
                "ceilings": [],
                "peak": first["cuda_peak"] or peak.bytes,
                "imported": [module for module in first["modules"] if module in UNWANTED],
            }
        for i in range(alternations):
            for side in sides:
                measured[side.name]["seconds"].append(side.ask("round")["seconds"])
                measured[side.name]["ceilings"].append(side.ask("ceiling")["flops"])
            seconds = [measured[side]["seconds"][-1] for side in SIDES]
            say(f"{name} {i + 1}/{alternations}: article {seconds[0]:.2f} s, fakeface {seconds[1]:.2f} s")
    return measured


def summary(measured: dict[str, dict[str, Any]], task: dict[str, Any], store_megabytes: float) -> dict[str, Any]:
    """Medians over the alternations; `images` counts what the article's side passes through its network."""
    epochs = task["epochs"] if task["kind"] == "extractor" else 1
    images = epochs * (len(task["train"]) + len(task["val"]))
    work = {"article": epochs * measured["article"]["flops"], "fakeface": measured["fakeface"]["flops"]}
    seconds = {
        "article": [epochs * value for value in measured["article"]["seconds"]],
        "fakeface": measured["fakeface"]["seconds"],
    }
    ratios = [a / b for a, b in zip(*seconds.values(), strict=True)]
    result: dict[str, Any] = {
        "network": task["network"],
        "batch": task["batch"],
        "images": images,
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "store_megabytes": store_megabytes,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {task['threads']} threads, {task['device']}",
    }
    for side in SIDES:
        facts = measured[side]
        shares = [work[side] / s / top for s, top in zip(seconds[side], facts["ceilings"], strict=True)]
        result[side] = {
            "precision": facts["precision"],
            "torch": facts["torch"],
            "seconds": seconds[side],
            "images_per_second": images / statistics.median(seconds[side]),
            "peak_megabytes": None if facts["peak"] is None else facts["peak"] / 1e6,
            "gflop": work[side] / 1e9,
            "ceiling_gflop_per_second": statistics.median(facts["ceilings"]) / 1e9,
            "share_of_ceiling": statistics.median(shares),
            "imported": facts["imported"],
        }
    return result


def print_table(results: dict[str, Any]) -> None:
    """Markdown. `A -> F`: the article's side, fakeface's side."""
    print(
        "| approach | network, batch | images/s, A -> F | ratio, median (lowest to highest) | peak MB, A -> F ", end=""
    )
    print("| GFLOP/s of ceiling, A | F |")
    print("|---" * 7 + "|")
    for name, row in results.items():
        a, f = row["article"], row["fakeface"]
        peaks = " -> ".join("?" if s["peak_megabytes"] is None else f"{s['peak_megabytes']:.0f}" for s in (a, f))
        shares = [
            f"{s['gflop'] / statistics.median(s['seconds']):.0f} of {s['ceiling_gflop_per_second']:.0f} "
            f"({s['precision']}), {100 * s['share_of_ceiling']:.0f} %"
            for s in (a, f)
        ]
        print(
            f"| {name} | {row['network']}, {row['batch']} | {a['images_per_second']:.1f} -> {f['images_per_second']:.1f} "
            f"| {row['ratio']:.2f} ({min(row['ratios']):.2f} to {max(row['ratios']):.2f}) | {peaks} | {' | '.join(shares)} |"
        )


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
