"""A folder of images, decoded once: pixels into a file, what else is known of them into a table."""

from pathlib import Path

import numpy as np
import pandas as pd

from fakeface.core.errors import UserError
from fakeface.core.params import Base, Split
from fakeface.core.progress import progress
from fakeface.images.decode import Decoded, Found
from fakeface.images.store import decode_all, write_pixels
from fakeface.split.likeness import SIDE, describe
from fakeface.split.pairs import perceptual_hash

COLUMNS = ["path", "stem", "label", "sha256", "width", "height", "format", "face", "hash"]


def read_images(
    folder: Path, found: list[Found], pixels: Path, base: Base, split: Split
) -> tuple[pd.DataFrame, np.ndarray, list[tuple[str, str]]]:
    """Decodes the images `found` in `folder` into the file `pixels`, in order.

    Returns:
        One row of `COLUMNS` for each image, `hash` uint64 (`perceptual_hash`), `face` as `Decoded` has it; what they look like,
        int8 [N, 1024] (`likeness.describe`); path and reason of each that cannot be used.

    Raises:
        UserError: an image cannot be used and split.on_bad_image is `fail`, or none can.
    """
    rows: list[tuple[str, str, int, str, int, int, str, bool, int]] = []
    looks = np.empty((len(found), SIDE * SIDE), dtype=np.int8)

    def keep(item: Found, image: Decoded) -> None:
        # photos are compared as wholes: crops of one photo in two sizes show different parts of it
        whole = image.pixels if image.whole is None else image.whole
        facts = (image.sha256, image.width, image.height, image.format, image.face, perceptual_hash(whole))
        rows.append((item.path, item.stem, item.label, *facts))
        looks[len(rows) - 1] = describe(whole)

    native = split.store == "native"
    decoded = decode_all(folder, found, base.image_size, split.max_megapixels, base.threads, native)
    decoded = progress(decoded, len(found), "decode", "image")
    bad = write_pixels(pixels, decoded, len(found), base.image_size, keep)
    if bad and split.on_bad_image == "fail":
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        remedy = "repair or remove it, or set split.on_bad_image: skip in params.yaml"
        raise UserError(f"{folder / bad[0][0]}: {bad[0][1]}{more}; {remedy}")
    if not rows:
        raise UserError(f"{folder}: none of its {len(bad)} images can be used; the first: {bad[0][0]} {bad[0][1]}")
    return pd.DataFrame(rows, columns=COLUMNS).astype({"hash": "uint64"}), looks[: len(rows)], bad
