"""From a decoded picture to the square of pixels that networks see."""

import numpy as np
from PIL import Image

ROWS = 512  # of a large picture that are copied at a time


def square_pixels(image: Image.Image, size: int, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """RGB image -> uint8 [3, size, size]: shorter side resized, centre cropped, rounding as torchvision does.

    Args:
        box: left, top, right, bottom of the square of it that counts, in pixels; None: all of it.
    """
    if box is not None:
        image = _cropped(image, size, box)
    short, long = sorted(image.size)
    if short != size:
        other = max(size, int(size * long / short))
        image = image.resize((size, other) if image.width <= image.height else (other, size), Image.Resampling.BILINEAR)
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    square = image.crop((left, top, left + size, top + size))
    return np.ascontiguousarray(np.asarray(square, dtype=np.uint8).transpose(2, 0, 1))


def _cropped(image: Image.Image, size: int, box: tuple[int, int, int, int]) -> Image.Image:
    """The square `box` of an image, or of a large one what `resize` to `size` makes of it: Pillow resizes rows, then columns, so
    the rows are taken some at a time. The whole square of 48 megapixels would be a copy of 144 MB."""
    left, top, right, bottom = box
    if right - left <= max(size, ROWS):
        return image.crop(box)
    narrow = Image.new("RGB", (size, bottom - top))
    for row in range(top, bottom, ROWS):
        rows = image.crop((left, row, right, min(bottom, row + ROWS)))
        narrow.paste(rows.resize((size, rows.height), Image.Resampling.BILINEAR), (0, row - top))
    return narrow.resize((size, size), Image.Resampling.BILINEAR)


def eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey -> 8-bit grey, level / 257 rounded, a few rows at a time."""
    levels = np.asarray(image)
    grey = np.empty(levels.shape, dtype=np.uint8)
    for top in range(0, len(levels), 256):
        rows = slice(top, top + 256)
        grey[rows] = (levels[rows].astype(np.uint32) + 128) // 257
    return Image.fromarray(grey)
