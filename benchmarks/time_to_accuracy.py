"""Accuracy against minutes: the article's way of fine-tuning, and this project's recipe on the same split.

The article's schedule (ResNet-18, batch 4, SGD, 15 epochs, 224 pixels) is trained by this project's loop, which gives its curve
over epochs; what an epoch takes the article's own way (ImageFolder, PIL, DataLoader, fp32) is measured on part of the images in
the same run, and that is the curve's time. The recipes run as they are, timed as they run. Stages and data are the real ones, in
a temporary folder; MLflow is off.

Prints a table, writes --json and the plot --picture. Takes 35 minutes on two cores for StarGAN's 1999 + 1999 faces.
"""

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from matplotlib.figure import Figure
from ruamel.yaml import YAML
from sides import Task

from fakeface.cli.recipes import recipe_values
from fakeface.core.errors import UserError
from fakeface.core.run import run
from fakeface.detector.device import configure
from fakeface.detector.predictor import Predictor
from fakeface.images.store import Dataset

ROOT = Path(__file__).resolve().parents[1]


def time_to_accuracy(
    data: Annotated[Path, typer.Option(help="Folder with 0_real and 1_fake.")],
    weights: Annotated[str, typer.Option(help="Of ResNet-18: imagenet, none, or a state dict.")] = "imagenet",
    val: Annotated[float, typer.Option(help="Part of the training images that the accuracy is measured on.")] = 0.15,
    protocol: Annotated[str, typer.Option(help="As in params.yaml.")] = "article",
    networks: Annotated[str, typer.Option(help="Of the recipe, with commas.")] = "resnet18,efficientnet_lite0",
    epochs: Annotated[int, typer.Option(min=0, help="Of all trainings; 0: as in the recipes.")] = 0,
    timed_images: Annotated[int, typer.Option(min=8, help="Training images that the article's way is timed on.")] = 288,
    threads: Annotated[int, typer.Option(min=1)] = 2,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Curves and figures.")] = None,
    picture: Annotated[Path | None, typer.Option(help="The plot, PNG.")] = None,
) -> None:
    if not data.is_dir():
        raise UserError(f"{data}: no such folder; give --data a folder with 0_real and 1_fake")
    weights = str(Path(weights).resolve()) if Path(weights).exists() else weights
    resnet = {"network": "resnet18", "weights": weights}
    settings: dict[str, tuple[str, dict[str, Any]]] = {
        "the article's schedule, ResNet-18": ("article", resnet),
        "recipe stargan128, ResNet-18": ("stargan128", resnet),
        "recipe stargan128, EfficientNet-Lite0": ("stargan128", {"network": "efficientnet_lite0"}),
    }
    asked = networks.split(",")
    if not set(asked) <= {"resnet18", "efficientnet_lite0"}:
        raise UserError(f"--networks {networks}: resnet18, efficientnet_lite0 or both, with a comma between them")
    settings = {k: v for k, v in settings.items() if v[0] == "article" or v[1]["network"] in asked}
    base = {"threads": threads, "seed": seed, "tracking": False, "precision": "auto"}
    split = {"data": str(data.resolve()), "val": val, "protocol": protocol, "group_by": "photo"}
    if protocol == "fractions":
        split |= {"train": 0.5, "val": 0.25, "test": 0.25}
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="fakeface-minutes-") as name:
        for number, (title, (recipe, section)) in enumerate(settings.items()):
            place = Path(name, str(number))
            place.mkdir()
            section |= {"epochs": epochs} if epochs else {}
            write_params(place / "params.yaml", recipe, base=base, split=split, train_finetune=section)
            stage(place, "split")
            seconds = float(re.findall(r"trained ([\d.]+) s", stage(place, "train_finetune"))[-1])
            history = pd.read_csv(place / "reports/train/finetune/history.csv")
            per_epoch = seconds / len(history)
            if recipe == "article":
                ours, per_epoch = per_epoch, article_epoch_seconds(place, data, weights, timed_images, threads, seed)
                print(f"an epoch: the article's way {per_epoch:.1f} s, the same schedule here {ours:.1f} s", flush=True)
            results[title] = {
                "minutes": [round(per_epoch * epoch / 60, 3) for epoch in history["epoch"]],
                "val_accuracy": history["val_accuracy"].tolist(),
                "test_accuracy": round(accuracy_on_test(place, threads, seed, "finetune"), 4),
            }
            print(
                f"{title}: {results[title]['minutes'][-1]:.1f} min, test {results[title]['test_accuracy']}", flush=True
            )
    print_table(results)
    if json_file:
        json_file.write_text(json.dumps(results, indent=1) + "\n")
    if picture:
        plot(results).savefig(picture, dpi=110)


def write_params(path: Path, recipe: str, **changes: dict[str, Any]) -> None:
    """The recipe's values with these changes; the fine-tuning alone matters here."""
    values = recipe_values(recipe, ROOT)
    for section, change in changes.items():
        values[section].update(change)
    with path.open("w") as file:
        YAML().dump(values, file)


def stage(place: Path, name: str) -> str:
    """Runs a stage in `place`; what it printed."""
    command = [sys.executable, str(ROOT / "stages" / f"{name}.py")]
    result = subprocess.run(command, cwd=place, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        raise UserError(f"stage {name} failed (see above)")
    return result.stdout


def article_epoch_seconds(place: Path, data: Path, weights: str, images: int, threads: int, seed: int) -> float:
    """Seconds of one epoch with validation in the article's own way, from the median of three on a part of the images."""
    manifest = pd.read_csv(place / "data/split/manifest.csv")
    counts = manifest["split"].value_counts()
    train = manifest.loc[manifest["split"] == "train", "path"].sample(frac=1, random_state=seed)[:images]
    part = len(train) / counts["train"]
    val = manifest.loc[manifest["split"] == "val", "path"].sample(frac=1, random_state=seed)
    task = Task(
        kind="train", network="resnet18", weights=weights, batch=4, our_batch=4, epochs=1, views=1, crop=224,
        data=str(data.resolve()), train=train.tolist(), val=val[: max(2, round(part * counts["val"]))].tolist(), store="",
        device="cpu", threads=threads, workers=2, seed=seed, matrix=64,
    )  # fmt: skip
    command = [sys.executable, str(Path(__file__).with_name("sides.py")), "article"]
    lines = [json.dumps(asdict(task)), *["round"] * 4]
    output = subprocess.run(
        command, input="\n".join(lines) + "\n", stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    seconds = [json.loads(line)["seconds"] for line in output.splitlines()[2:]]  # the first round is not timed
    return float(np.median(seconds)) / part


def accuracy_on_test(place: Path, threads: int, seed: int, approach: str) -> float:
    """Accuracy at 0.5 of the epoch kept, on the test images."""
    dataset = Dataset.open(place / "data/split")
    predictor = Predictor.load(place / "models" / approach, configure(seed, threads, "auto", "auto"), 32)
    rows = dataset.rows("test")
    return float(((predictor.scores(dataset.pixels, rows) >= 0.5) == dataset.labels[rows]).mean())


def print_table(results: dict[str, dict[str, Any]]) -> None:
    """Each training, and when it reached the val accuracy of the article's kept epoch."""
    article, *_ = results.values()
    goal, end = max(article["val_accuracy"]), article["minutes"][-1]
    print(f"\nThe article's way ends after {end:.1f} minutes with val accuracy {goal:.4f}.\n")
    print("| training | minutes | best val accuracy | test accuracy | minutes to the article's | times shorter |")
    print("|---|---|---|---|---|---|")
    for title, row in results.items():
        there = [m for m, a in zip(row["minutes"], row["val_accuracy"], strict=True) if a >= goal]
        first = f"{there[0]:.2f}" if there else "never"
        shorter = f"{end / there[0]:.1f}" if there else "-"
        best = max(row["val_accuracy"])
        print(f"| {title} | {row['minutes'][-1]:.1f} | {best:.4f} | {row['test_accuracy']:.4f} | {first} | {shorter} |")


def plot(results: dict[str, dict[str, Any]]) -> Figure:
    """Val accuracy against minutes, logarithmic in time."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for title, row in results.items():
        axes.plot(row["minutes"], row["val_accuracy"], marker="o", markersize=3.5, label=title)
    article, *_ = results.values()
    axes.axhline(max(article["val_accuracy"]), color="0.6", linewidth=1, linestyle="--")
    axes.set(xscale="log", xlabel="minutes of training (two CPU cores)", ylabel="val accuracy")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure


if __name__ == "__main__":
    run(time_to_accuracy, __doc__)
