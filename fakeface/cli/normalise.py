"""Writes all images of a folder in one format, size and quality, so that a file says nothing about its class."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from fakeface.core.errors import UserError, printable
from fakeface.core.files import whole
from fakeface.images.decode import BadImage, opened, quiet, read_file, square_pixels
from fakeface.images.listing import is_image, renamed, walk

SAID = """Made equal: format, size, quality and metadata, and most of the difference in file size.
Not made equal: traces of earlier JPEG compression and scaling, sharpness and colours.
Read the audit (`dvc repro audit`) before you trust a figure."""


def normalise(source: Path, target: Path, size: int, quality: int | None, max_megapixels: float) -> int:
    """Writes the images of `source`, at any depth, to the same places in `target`: the middle square, `size` pixels, RGB.

    Two that differ in their suffix alone both stay: the second one's is made part of its name. `target` appears whole.

    Args:
        quality: of JPEG, with colours at half the resolution; None: PNG.

    Returns:
        How many files could not be read; each is named on the terminal.

    Raises:
        UserError: `source` has no image, or `target` is not empty.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target}: already exists; choose a new folder, so that nothing is overwritten")
    if target.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{target}: is inside {source}; choose a folder outside it")
    files = walk(source)[0]
    images = [path for path in files if is_image(path.name)]
    if not images:
        raise UserError(f"{source}: contains no images; name the folder that holds the class folders")
    suffix = ".jpg" if quality else ".png"
    places = renamed(images, suffix)
    quiet()
    sides: list[int] = []
    with whole(target.resolve()) as partial:  # behind a link, which stays

        def write(place: Path) -> str:
            """Why the file cannot be read, if it cannot."""
            path = places[place]
            (partial / place).parent.mkdir(parents=True, exist_ok=True)
            try:
                with opened(read_file(source / path, source), max_megapixels) as (image, _):
                    sides.append(min(image.size))
                    square = Image.fromarray(square_pixels(image, size).transpose(1, 2, 0))
            except BadImage as error:
                return f"{printable(path)}: {error}"
            options = {"quality": quality, "subsampling": 2} if quality else {}
            square.save(partial / place, "JPEG" if quality else "PNG", **options)
            return ""

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            bad = [
                reason
                for reason in tqdm(pool.map(write, places), total=len(places), unit="image", disable=None)
                if reason
            ]
        if len(bad) == len(images):
            raise UserError(f"{source}: none of its {len(bad)} images can be read; the first: {bad[0]}")
    for reason in bad:
        print(reason)
    others = f"; {len(files) - len(images)} files of other types ignored" if len(files) > len(images) else ""
    if enlarged := sum(side < size for side in sides):
        remedy = f"with --size {min(sides)}, none is enlarged"
        print(f"note: {enlarged} of {len(sides)} images were smaller than {size} pixels and were enlarged; {remedy}")
    print(f"{target}: {len(images) - len(bad)} images of {size} x {size} pixels{others}\n{SAID}")
    return len(bad)
