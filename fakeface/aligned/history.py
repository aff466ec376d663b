"""A photo and the history of its file: cropped to a size that the autoencoder accepts, compressed again as the file was."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, JpegImagePlugin

from fakeface.images.decode import FORMATS, ORIENTATIONS, BadImage, opened

STEP = 8  # pixels; the autoencoder's sides are multiples of it
GRID = 16  # pixels; JPEG's blocks, with colours at half the resolution: what is cut off at left and top is a multiple of it
LEAST = 64  # pixels of a side
INVERSE = {Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90}


@dataclass(frozen=True)
class Photo:
    """`kind`: the file's format; `pixels`: uint8 [H, W, 3], cut, as the file stores them; `turn`: how they become upright.

    `tables`: the file's quantisation tables, where it is a JPEG, each of 64 numbers; `sampling`: of its colours, Pillow's number;
    `grey`: without colours.
    """

    kind: str
    pixels: np.ndarray
    turn: Image.Transpose | None
    tables: list[list[int]]
    sampling: int
    grey: bool

    def upright(self, pixels: np.ndarray | None = None) -> Image.Image:
        """Its pixels, or others of the same size, as the picture is looked at."""
        image = Image.fromarray(self.pixels if pixels is None else pixels)
        return image if self.turn is None else image.transpose(self.turn)

    def compress(self, pixels: np.ndarray) -> bytes:
        """Pixels as a JPEG file with the tables and the sampling of this one's (4:2:0 where Pillow has no name for it)."""
        image, file = Image.fromarray(pixels), io.BytesIO()
        sampling = self.sampling if self.sampling in (0, 1, 2) else 2
        image = image.convert("L") if self.grey else image
        image.save(file, "JPEG", qtables=self.tables, subsampling=sampling)
        return file.getvalue()

    def with_history(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] after what this photo went through: without colours, or in JPEG, if it was; the same shape."""
        if self.tables:
            with Image.open(io.BytesIO(self.compress(pixels))) as image:
                return np.asarray(image.convert("RGB"))
        return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB")) if self.grey else pixels


def read_photo(data: bytes, max_side: int, max_megapixels: float) -> Photo:
    """Decodes a file and cuts it, about its centre, to sides of at most `max_side` that are multiples of 8. Nothing is resized.

    Works on the pixels as they are stored, before EXIF turns them: there JPEG's blocks start at the left upper corner, and they
    still do after the cut. A fake that is compressed again has its blocks in the same places.

    Raises:
        BadImage: as `images.decode.opened`, or a side is shorter than `LEAST` pixels.
    """
    with opened(data, max_megapixels) as (image, kind):
        with Image.open(io.BytesIO(data), formats=FORMATS) as file:
            jpeg = isinstance(file, JpegImagePlugin.JpegImageFile)
            turn = ORIENTATIONS.get(_orientation(file)) if jpeg else None
            written = getattr(file, "quantization", {}) if jpeg else {}
            sampling = JpegImagePlugin.get_sampling(file) if jpeg else -1
        if min(image.size) < LEAST:
            raise BadImage(f"has {image.width} x {image.height} pixels; an aligned fake needs sides of {LEAST} or more")
        if turn is not None:
            image = image.transpose(INVERSE.get(turn, turn))
        width, height = (min(side, max_side) // STEP * STEP for side in image.size)
        left, top = (image.width - width) // 2 // GRID * GRID, (image.height - height) // 2 // GRID * GRID
        pixels = np.asarray(image.crop((left, top, left + width, top + height)))
    grey = bool((pixels == pixels[..., :1]).all())
    return Photo(kind, pixels, turn, [list(written[key]) for key in sorted(written)], sampling, grey)


def _orientation(file: Image.Image) -> int:
    try:
        return int(file.getexif().get(0x0112, 1))
    except Exception:  # an EXIF block may hold anything; `opened` too takes the picture as it is stored then
        return 1
