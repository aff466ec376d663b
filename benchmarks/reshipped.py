"""How often a face gets the other verdict when its picture is sent on: small, enlarged, framed, in a collage, saved again.

    python benchmarks/reshipped.py FOLDER          # in a project that was trained on FOLDER

Faces are drawn from its test images. `fakeface predict` judges every version twice: looking for faces first, its default,
and with --whole, as it did before it knew faces. A flip is a plain verdict that turns into the other one: `unsure` and `no face
found` are none, and are counted beside it, notes too.
"""

import io
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageOps

from fakeface.images.store import Dataset

Picture = Image.Image


def saved(picture: Picture, form: str, quality: int) -> Picture:
    file = io.BytesIO()
    picture.save(file, form, quality=quality)
    return Image.open(file).convert("RGB")


def collage(picture: Picture) -> Picture:
    """The picture four times, two by two, so that all of its faces ought to get one verdict."""
    whole = Image.new("RGB", (2 * picture.width, 2 * picture.height))
    for place in range(4):
        whole.paste(picture, (place % 2 * picture.width, place // 2 * picture.height))
    return whole


VERSIONS: dict[str, Callable[[Picture], Picture]] = {
    "64 pixels": lambda picture: picture.resize((64, 64)),
    "enlarged 4 x": lambda picture: picture.resize((4 * picture.width, 4 * picture.height)),
    "letterboxed to 16:9": lambda picture: ImageOps.pad(picture, (picture.height * 16 // 9, picture.height)),
    "grey frame, a third of the sides": lambda picture: ImageOps.expand(picture, picture.width // 6, "#808080"),
    "a corner of a white page": lambda picture: ImageOps.expand(picture, (0, 0, 3 * picture.width, 2 * picture.height), "white"),
    "collage 2 x 2": collage,
    "JPEG 60": lambda picture: saved(picture, "JPEG", 60),
    "WebP 75": lambda picture: saved(picture, "WEBP", 75),
}  # fmt: skip


def judged(folder: Path, model: str, *options: str) -> dict[str, list[tuple[str, str]]]:
    """(verdict, note) of each face, by file name."""
    lines = subprocess.run(
        ["fakeface", "predict", str(folder), "--format", "jsonl", "--model", model, *options], stdout=subprocess.PIPE, check=True
    ).stdout.splitlines()  # fmt: skip
    found: dict[str, list[tuple[str, str]]] = {}
    for row in map(json.loads, lines):
        found.setdefault(Path(row["path"]).name, []).append((row["verdict"] or "none", row.get("note") or ""))
    return found


def chosen(data: Path, part: str, count: int, seed: int) -> list[Path]:
    """`count` test images of this project's split whose paths hold `part`, half of each class."""
    table = Dataset.open().manifest
    rng, taken = np.random.default_rng(seed), []
    for label in (0, 1):
        rows = (table["split"] == "test") & (table["label"] == label) & table["path"].str.contains(part)
        paths = table["path"][rows].tolist()
        taken += [data / paths[i] for i in sorted(rng.choice(len(paths), min(count // 2, len(paths)), replace=False))]
    return taken


def main(
    data: Path,
    model: Annotated[str, typer.Option()] = "finetune",
    faces: Annotated[int, typer.Option(help="Half of each class.")] = 100,
    part: Annotated[str, typer.Option(help="Only paths that match this regular expression.")] = "",
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    paths = chosen(data, part, faces, seed)
    with tempfile.TemporaryDirectory() as temporary:
        for name, version in {"as it is": lambda picture: picture, **VERSIONS}.items():
            (folder := Path(temporary, name.replace(":", " "))).mkdir()
            for number, path in enumerate(paths):
                with Image.open(path) as picture:
                    version(picture.convert("RGB")).save(folder / f"{number:03}.png")
        print(
            "| version | way | flips | of them with a note | same verdict | unsure | no verdict |\n|---|---|---|---|---|---|---|"
        )
        for way, options in (("--whole", ["--whole"]), ("faces first", [])):
            plain = judged(Path(temporary, "as it is"), model, *options)
            print(f"| as it is | {way} | | | {dict(Counter(one[0][0] for one in plain.values()))} | | |")
            for name in VERSIONS:
                now = judged(Path(temporary, name.replace(":", " ")), model, *options)
                kinds: Counter[str] = Counter()
                for face, ((was, _), *_) in plain.items():
                    if was not in ("real", "fake"):
                        continue
                    other = "real" if was == "fake" else "fake"
                    flips = [note for verdict, note in now[face] if verdict == other]
                    kinds["flip"] += bool(flips)
                    kinds["noted"] += bool(flips) and all(flips)
                    first = now[face][0][0]
                    kinds[first if first in ("unsure", "none") else "same" if not flips else "other"] += 1
                counts = " | ".join(str(kinds[kind]) for kind in ("flip", "noted", "same", "unsure", "none"))
                print(f"| {name} | {way} | {counts} |")
                sys.stdout.flush()


if __name__ == "__main__":
    typer.run(main)
