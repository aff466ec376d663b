"""What augmented views of the cached features buy: the extractor's accuracy and seconds for K = 1, 2, 4, ... views.

Runs the stages split, features and train_extractor with a recipe's values in a temporary folder, MLflow off, and prints a table.
The test images are scored to show the effect; choose K by val. Takes 8 minutes on two cores for StarGAN's 1999 + 1999 faces.
"""

import json
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from time_to_accuracy import accuracy_on_test, stage, write_params

from fakeface.core.errors import UserError
from fakeface.core.run import run


def views(
    data: Annotated[Path, typer.Option(help="Folder with 0_real and 1_fake.")],
    recipe: Annotated[str, typer.Option(help="A file in recipes/.")] = "stargan128",
    numbers: Annotated[str, typer.Option("--views", help="With commas between them.")] = "1,2,4,8,16",
    protocol: Annotated[str, typer.Option(help="As in params.yaml.")] = "article",
    threads: Annotated[int, typer.Option(min=1)] = 2,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    if not data.is_dir():
        raise UserError(f"{data}: no such folder; give --data a folder with 0_real and 1_fake")
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", numbers):
        raise UserError(f"--views {numbers}: whole numbers, 1 or more, with commas between them")
    split: dict[str, object] = {"data": str(data.resolve()), "protocol": protocol, "group_by": "photo"}
    if protocol == "fractions":
        split |= {"train": 0.5, "val": 0.25, "test": 0.25}
    base = {"threads": threads, "seed": seed, "tracking": False}
    print("| views | features, s | head, s | best val accuracy | test accuracy |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="fakeface-views-") as name:
        place = Path(name)
        for number in map(int, numbers.split(",")):
            write_params(place / "params.yaml", recipe, base=base, split=split, features={"views": number})
            if not (place / "data/split").exists():
                stage(place, "split")
            started = time.perf_counter()
            stage(place, "features")
            seconds = time.perf_counter() - started
            head = float(re.findall(r"trained ([\d.]+) s", stage(place, "train_extractor"))[-1])
            val = json.loads((place / "reports/train/extractor/metrics.json").read_text())["val_accuracy"]
            test = accuracy_on_test(place, threads, seed, "extractor")
            print(f"| {number} | {seconds:.1f} | {head:.1f} | {val:.4f} | {test:.4f} |", flush=True)
            shutil.rmtree(place / "data/features")


if __name__ == "__main__":
    run(views, __doc__)
