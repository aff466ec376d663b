"""Further test folders: images that no split knows, from other generators perhaps, or of one class alone."""

from pathlib import Path

from fakeface.core.errors import UserError
from fakeface.core.params import Params
from fakeface.images.decode import Found, class_images
from fakeface.images.store import Dataset, PixelFile
from fakeface.split.grouping import group_names, together
from fakeface.split.pairs import group_images
from fakeface.split.read import read_images


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
    return [image for label, kind in present for image in class_images(root, kind, label)]


def read_extra(folder: Path, found: list[Found], pixels: Path, params: Params) -> tuple[Dataset, list[tuple[str, str]]]:
    """`read_images`, grouped as the split stage does: column `source`, int64, of the manifest."""
    table, looks, bad = read_images(folder, found, pixels, params)
    groups = group_images(table, looks, params.split.hash_distance)
    source = together(groups.source, group_names(table["stem"].tolist(), params.split.group_by))
    return Dataset(folder, table.assign(source=source), PixelFile(pixels)), bad
