"""Further test folders: images that no split knows, from other generators perhaps, or of one class alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakeface.core.errors import UserError
from fakeface.images.decode import Decoded, Found, class_images
from fakeface.images.store import PixelFile, decode_all, write_pixels
from fakeface.split.pairs import group, perceptual_hash


@dataclass(frozen=True)
class Extra:
    """Row i of `manifest` (path, label, sha256), `pixels` (uint8 [N, 3, S, S], read when indexed), `source` (photo, int [N])."""

    manifest: pd.DataFrame
    pixels: Any  # a PixelFile: whoever takes rows of it may say np.ndarray
    source: np.ndarray
    bad: list[tuple[str, str]]

    @property
    def labels(self) -> np.ndarray:
        """int64 [N]: 0 real, 1 fake."""
        return self.manifest["label"].to_numpy(dtype=np.int64)


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


def read_extra(
    name: str,
    folder: str,
    found: list[Found],
    pixels: Path,
    *,
    image_size: int,
    max_megapixels: float,
    threads: int,
    hash_distance: int,
    skip_bad: bool,
) -> Extra:
    """Decodes an extra set as the split stage decodes its images, into the file `pixels`, and groups it by photo.

    Raises:
        UserError: an image cannot be used and `skip_bad` is off, or none can.
    """
    rows: list[tuple[str, int, str]] = []
    stems: list[str] = []
    hashes: list[int] = []

    def keep(item: Found, image: Decoded) -> None:
        rows.append((item.path, item.label, image.sha256))
        stems.append(item.stem)
        hashes.append(perceptual_hash(image.pixels))

    decoded = decode_all(Path(folder), found, image_size, max_megapixels, threads)
    bad = write_pixels(pixels, decoded, len(found), image_size, keep)
    if bad and (not skip_bad or not rows):
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        remedy = f"repair it, or remove it from evaluate.extra_sets.{name}"
        remedy += "" if skip_bad else ", or set split.on_bad_image: skip in params.yaml"
        raise UserError(f"{Path(folder) / bad[0][0]}: {bad[0][1]}{more}; {remedy}")
    manifest = pd.DataFrame(rows, columns=["path", "label", "sha256"])
    labels = manifest["label"].to_numpy(dtype=np.int64)
    groups = group(stems, labels, manifest["sha256"].tolist(), np.array(hashes, dtype=np.uint64), hash_distance)
    return Extra(manifest, PixelFile(pixels), groups.source, bad)
