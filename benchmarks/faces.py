"""How many faces `fakeface predict` finds, by their size: pictures of faces pasted into two photos without any.

    python benchmarks/faces.py FOLDER       # of faces, at any depth

The photos are scikit-learn's sample images, enlarged to 1920 x 1281. Found: a box whose middle lies in the pasted picture.
"""

import time
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from sklearn.datasets import load_sample_images

from fakeface.images.faces import find_faces
from fakeface.predict.names import entries

SIZE = (1920, 1281)
SIDES = (32, 48, 64, 128, 248, 400, 700, 1100)


def main(
    folder: str,
    photos: Annotated[int, typer.Option(help="For each side.")] = 12,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    rng = np.random.default_rng(seed)
    empty = [Image.fromarray(picture).resize(SIZE) for picture in load_sample_images().images]
    faces = [entry.path for entry in entries([folder])]
    false, seconds = 0, 0.0
    for side in SIDES:
        found, columns = 0, 4 if side < SIZE[0] // 4 else 1
        for number in range(photos):
            photo, spots = empty[number % 2].copy(), []
            for column in range(columns):
                with Image.open(faces[rng.integers(len(faces))]) as face:
                    spot = (
                        column * SIZE[0] // columns + int(rng.integers(SIZE[0] // columns - side)),
                        int(rng.integers(SIZE[1] - side)),
                    )
                    photo.paste(face.convert("RGB").resize((side, side)), spot)
                spots.append(spot)
            started = time.process_time()
            boxes = find_faces(photo)
            seconds += time.process_time() - started
            middles = boxes[:, :2] + boxes[:, 2:] / 2
            inside = sum(bool(((middles >= spot) & (middles <= np.add(spot, side))).all(1).any()) for spot in spots)
            found += inside
            false += len(boxes) - inside
        print(f"side {side:4}: {found} of {photos * columns}")
    print(
        f"{false} further boxes in {photos * len(SIDES)} photos; {seconds / photos / len(SIDES):.2f} s of a core a photo"
    )


if __name__ == "__main__":
    typer.run(main)
