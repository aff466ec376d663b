"""Find images, check them, decode them. Every file is untrusted: content decides its format, size is checked before pixels."""

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fakeface.errors import UserError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")


# A strip longer than this would be scaled to gigapixels before its centre is cut out.
MAX_ASPECT = 20


class BadImage(Exception):
    """An image that cannot be used; the message is the reason, without the path."""


@dataclass(frozen=True, slots=True)
class Found:
    """One image file: its path relative to the data folder (POSIX), its name inside the class without suffix, its label."""

    path: str
    stem: str
    label: int


@dataclass(frozen=True)
class Decoded:
    """`pixels`: uint8 [3, S, S] RGB; `width`, `height`: of the file after EXIF orientation, in pixels."""

    pixels: np.ndarray
    sha256: str
    width: int
    height: int
    format: str


def find_images(folder: Path | str, real: str, fake: str) -> list[Found]:
    """All images of both class folders, at any depth, in a fixed order: label 0 (real) first, then by path.

    Raises:
        UserError: the data folder or a class folder is missing, or a class has no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such data folder; put your faces there, `dvc pull` them, or set split.data in params.yaml"
        )
    return class_images(folder, real, 0) + class_images(folder, fake, 1)


def class_images(folder: Path, name: str, label: int) -> list[Found]:
    """The images of one class folder, at any depth, by path. Raises UserError when it is missing or has no image."""
    root = folder / name
    key = ("real", "fake")[label]
    if not root.is_dir():
        raise UserError(f"{root}: the folder of {key} faces is missing; make it or set split.{key} in params.yaml")
    paths = [Path(parent, file) for parent, _, files in os.walk(root) for file in files]
    images = sorted(path.relative_to(root) for path in paths if path.suffix.lower() in SUFFIXES)
    if not images:
        allowed = " ".join(sorted(SUFFIXES))
        raise UserError(f"{root}: no image in the folder of {key} faces; put some there ({allowed})")
    return [Found((Path(name) / path).as_posix(), path.with_suffix("").as_posix(), label) for path in images]


def read_file(path: Path | str, folder: Path | str | None = None) -> bytes:
    """The bytes of a file. Raises BadImage when it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadImage(f"cannot be read ({error.strerror})") from None


def decode(path: Path | str, image_size: int, max_megapixels: float, folder: Path | str | None = None) -> Decoded:
    """Reads one file (`read_file`) and decodes it (`decode_bytes`). Raises BadImage as these do."""
    return decode_bytes(read_file(path, folder), image_size, max_megapixels)


def decode_bytes(data: bytes, image_size: int, max_megapixels: float) -> Decoded:
    """The shorter side becomes `image_size` (Pillow's antialiased bilinear), then the centre square.

    The same geometry as torchvision's `Resize(S)` and `CenterCrop(S)` on PIL images.

    Raises:
        BadImage: as `upright`.
    """
    image, kind = upright(data, max_megapixels)
    pixels = as_pixels(centre_square(image, image_size))
    return Decoded(pixels, hashlib.sha256(data).hexdigest(), image.width, image.height, kind)


def upright(data: bytes, max_megapixels: float) -> tuple[Image.Image, str]:
    """The whole picture, RGB, EXIF orientation applied, and its format.

    Raises:
        BadImage: empty, truncated, not an image of `FORMATS`, or larger than `max_megapixels`.
    """
    if not data:
        raise BadImage("is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            kind = image.format or "?"
            if image.width * image.height > max_megapixels * 1e6:
                raise BadImage(f"has {image.width} x {image.height} pixels, more than split.max_megapixels allows")
            if max(image.size) > MAX_ASPECT * min(image.size):
                raise BadImage(f"has {image.width} x {image.height} pixels: a strip, not a face")
            turned = ImageOps.exif_transpose(image)
            if turned.mode.startswith("I;16"):  # Pillow would cut every level above 255 to white
                turned = Image.fromarray((np.asarray(turned) / 257).round().astype(np.uint8))
            return turned.convert("RGB"), kind
    except BadImage:
        raise
    except Image.DecompressionBombError:
        raise BadImage("has more pixels than split.max_megapixels allows") from None
    except UnidentifiedImageError:
        raise BadImage(f"is not an image of a known format ({', '.join(FORMATS)})") from None
    # Pillow's decoders raise many kinds on broken bytes (OSError, SyntaxError, struct.error, ...): each is a bad image.
    except Exception as error:
        raise BadImage(f"is damaged ({' '.join(str(error).split()) or type(error).__name__})") from None


def as_pixels(square: Image.Image) -> np.ndarray:
    """RGB image of S x S -> uint8 [3, S, S]."""
    return np.ascontiguousarray(np.asarray(square, dtype=np.uint8).transpose(2, 0, 1))


def centre_square(image: Image.Image, size: int) -> Image.Image:
    """RGB image -> RGB image of `size` x `size`: shorter side resized, centre cropped, rounding as torchvision does."""
    short, long = sorted(image.size)
    if short != size:
        other = max(size, int(size * long / short))
        image = image.resize((size, other) if image.width <= image.height else (other, size), Image.Resampling.BILINEAR)
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size))
