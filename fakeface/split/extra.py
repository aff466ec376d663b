"""Further test folders: images that no split knows, from other generators perhaps, or of one class alone."""

from pathlib import Path

import numpy as np

from fakeface.core.errors import UserError
from fakeface.core.params import Base, Split
from fakeface.core.progress import progress
from fakeface.images.decode import Found, class_images
from fakeface.images.listing import check_apart
from fakeface.images.store import WHOLE, Dataset, PixelFile
from fakeface.split.grouping import group_names, together
from fakeface.split.likeness import LENGTH, UNNAMED, describe, describe_crops, likenesses
from fakeface.split.pairs import group_images
from fakeface.split.read import read_images

BLOCK = 16  # training images compared at once


def find_extra(name: str, folder: str, real: str, fake: str) -> list[Found]:
    """The images of an extra set, in the order of `images.find_images`; one of the two class folders may be missing.

    Raises:
        UserError: the folder is missing, or has neither class folder, or a class folder has no image.
    """
    key = f"evaluate.extra_sets.{name}"
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"params.yaml: {key} = {folder!r}: no such folder; correct it, or remove the set")
    present = [(label, kind) for label, kind in enumerate((real, fake)) if (root / kind).is_dir()]
    if not present:
        raise UserError(f"{root}: has neither {real} nor {fake}; put the images of {key} into such a folder")
    if len(present) == 2:
        check_apart(root / real, root / fake)
    return [image for label, kind in present for image in class_images(root, kind, label)]


def read_extra(
    folder: Path, found: list[Found], pixels: Path, base: Base, split: Split
) -> tuple[Dataset, list[tuple[str, str]]]:
    """`read_images`, grouped as the split stage does: column `source`, int64, of the manifest."""
    table, looks, bad = read_images(folder, found, pixels, base, split)
    groups = group_images(table, looks, split.hash_distance)
    source = together(groups.source, group_names(table["stem"].tolist(), split.group_by))
    whole = PixelFile(pixels.with_name(WHOLE)) if split.store == "native" else None
    return Dataset(folder, table.assign(source=source), PixelFile(pixels), whole), bad


def seen_in_training(images: Dataset, dataset: Dataset) -> np.ndarray:
    """For each image of an extra set the path of the train or val image that shows the same photo, or "": str [M].

    The same bytes, or alike without any name (`likeness.UNNAMED`): saved again, edited, mirrored, or cropped a little (`CROPS`).
    """
    learnt = np.flatnonzero(dataset.manifest["split"].isin(["train", "val"]).to_numpy())
    looks = np.stack([describe(images.shown[row]) for row in range(len(images.shown))])
    # just below the bound: likenesses are multiples of 1/16
    most, photo = np.full(len(looks), UNNAMED * LENGTH**2 - 0.01), np.full(len(looks), -1)
    blocks = range(0, len(learnt), BLOCK)
    for start in progress(blocks, len(blocks), "compare", "block"):
        block = learnt[start : start + BLOCK]
        crops = np.concatenate([describe_crops(pixels) for pixels in dataset.shown[block]])
        like = likenesses(looks, crops).reshape(len(looks), len(block), -1).max(axis=2)
        better = like.max(axis=1) > most  # of several as alike the first stays
        most[better], photo[better] = like.max(axis=1)[better], block[like.argmax(axis=1)][better]
    paths = dataset.manifest["path"].to_numpy(dtype=object)
    same = dict(zip(dataset.manifest["sha256"].iloc[learnt], paths[learnt], strict=True))
    by_looks = np.where(photo >= 0, paths[photo], "")
    return np.array(
        [same.get(d) or path for d, path in zip(images.manifest["sha256"], by_looks, strict=True)], dtype=object
    )
