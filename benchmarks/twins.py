"""How well pixels alone tell that a fake was made from a photo: twins found, strangers tied, by `split/likeness.py` and by pHash.

Takes a folder in which equal names are equal photos. Prints how many twins and how many pairs of strangers reach each bound, then
groups the images once more with the fakes' names shuffled. Last, the first half of the photos stands for training images, and up
to 300 of them are looked for as those of an extra set are: saved again, mirrored, cropped at random; the others are strangers.
Takes a minute on two cores for StarGAN's 1999 + 1999 faces.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from PIL import Image

from fakeface.core.errors import UserError
from fakeface.core.run import run
from fakeface.images.decode import decode, find_images
from fakeface.images.degrade import jpeg, resize
from fakeface.images.store import Dataset
from fakeface.split.extra import seen_in_training
from fakeface.split.likeness import LENGTH, describe, likenesses
from fakeface.split.pairs import group, perceptual_hash


def twins(
    data: Annotated[Path, typer.Argument(help="Folder with 0_real and 1_fake.")],
    size: Annotated[int, typer.Option(min=16, help="As base.image_size, pixels.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Of the shuffle.")] = 0,
) -> None:
    found = find_images(data, "0_real", "1_fake")
    names = sorted({image.stem for image in found if image.label} & {image.stem for image in found if not image.label})
    n = len(names)
    if n < 2:
        raise UserError(f"{data}: needs two names that are in both classes")
    by_name = {(image.stem, image.label): image for image in found}
    images = [decode(data / by_name[name, label].path, size, 50) for label in (0, 1) for name in names]
    looks = np.stack([describe(image.pixels) for image in images])
    hashes = np.array([perceptual_hash(image.pixels) for image in images], dtype=np.uint64)

    like = likenesses(looks[:n], looks[n:]) / LENGTH**2
    bits = np.bitwise_count(hashes[:n, None] ^ hashes[None, n:])
    own = np.eye(n, dtype=bool)
    print(f"| bound | twins, of {n} | strangers, of {n * n - n} |\n|---|---|---|")
    for bound in (0.3, 0.4, 0.5, 0.6, 0.65, 0.7):
        print(f"| likeness {bound} | {(like[own] >= bound).sum()} | {(like[~own] >= bound).sum()} |")
    for bound in (4, 8, 12, 18):
        print(f"| pHash, {bound} bits | {(bits[own] <= bound).sum()} | {(bits[~own] <= bound).sum()} |")

    stems = [*names, *np.random.default_rng(seed).permutation(names).tolist()]
    digests = np.array([image.sha256 for image in images])
    groups = group(stems, np.repeat([0, 1], n), digests, hashes, looks, 4)
    same = groups.source[:n] == groups.source[n:]
    photos = len(np.unique(groups.source))
    print(
        f"\nshuffled names: {groups.confirmed} of {groups.named} look alike; {same.sum()} of {n} twins found; {photos} photos"
    )

    half = n // 2
    learnt = np.stack([image.pixels for image in images[:half]])
    table = pd.DataFrame({"path": names[:half], "sha256": digests[:half], "split": "train"})
    rng = np.random.default_rng(seed)
    ships: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "JPEG 30": lambda image: jpeg(image, 30),
        "half the size": lambda image: resize(image, 0.5),
        "mirrored, JPEG 75": lambda image: jpeg(image[:, :, ::-1], 75),
        **{f"cropped by up to {cut} %, JPEG 75": partial(crop, cut=cut / 100, rng=rng) for cut in (5, 10, 15, 20)},
    }
    print("\n| extra set | of | seen in training, right photo | wrong photo |\n|---|---|---|---|")
    sets = [(name, [ship(pixels) for pixels in learnt[:300]]) for name, ship in ships.items()]
    sets.append(("strangers", [image.pixels for image in images[half:n]]))
    for name, shown in sets:
        other = Dataset(data, pd.DataFrame({"sha256": [""] * len(shown)}), np.stack(shown))
        seen = seen_in_training(other, Dataset(data, table, learnt))
        right = int((seen == np.array(names[: len(shown)], dtype=object)).sum()) if name != "strangers" else 0
        print(f"| {name} | {len(shown)} | {right} | {(seen != '').sum() - right} |")


def crop(image: np.ndarray, cut: float, rng: np.random.Generator) -> np.ndarray:
    """Up to `cut` of width and height cut off, at a random place; scaled back and saved as JPEG 75."""
    size = image.shape[-1]
    side = round(size * (1 - rng.uniform(0, cut)))
    left, top = rng.integers(0, size - side + 1, 2).tolist()
    part = Image.fromarray(image.transpose(1, 2, 0)).crop((left, top, left + side, top + side))
    return jpeg(np.asarray(part.resize((size, size), Image.Resampling.BILINEAR)).transpose(2, 0, 1), 75)


if __name__ == "__main__":
    run(twins, __doc__)
