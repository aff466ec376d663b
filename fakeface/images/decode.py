"""Find images, read them, decode them. Every file is untrusted: it is opened only if it is a regular file in its folder, its
size is checked before its bytes and its pixels are, content decides its format. docs/data.md lists the limits."""

import ctypes
import hashlib
import io
import logging
import os
import re
import stat
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from fakeface.core.errors import UserError
from fakeface.images.kinds import FORMATS, PACKED, no_picture
from fakeface.images.listing import SUFFIXES, check_apart, given_folders, is_image, stem_of, walk
from fakeface.images.pixels import eight_bits, square_pixels

MAX_BYTES = 50_000_000  # of a file
MAX_ASPECT = 20  # a longer strip would be scaled to gigapixels before its centre is cut out
# Small files can ask for hours of work, or for gigabytes, without a large picture:
MAX_PARTS = 100_000  # segments or chunks of a file, which Pillow lists one by one
MAX_SCANNED = 10e9  # pixels times scans of a progressive JPEG, each of which passes over the whole picture
MAX_TILE = 2**24  # pixels of a TIFF's tile, which is decoded whole even where the picture is small
# Decoded at the same time: a decoder takes up to 18 bytes a pixel. One image alone may be larger.
PIXELS_AT_ONCE = 50_000_000

ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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
    """`pixels`: uint8 [3, S, S] RGB; `width`, `height`: of the file after EXIF orientation, in pixels; `whole`: the resized
    middle square of a picture whose `pixels` are at its own scale, around a `face` or not (`faces.native_pixels`)."""

    pixels: np.ndarray
    sha256: str
    width: int
    height: int
    format: str
    whole: np.ndarray | None = None
    face: bool = False


def find_images(folder: Path | str, real: str, fake: str) -> list[Found]:
    """All images of both class folders, at any depth: label 0 (real) first, then by path. Or of those in `given_folders`.

    Raises:
        UserError: the data folder or a class folder is missing, a class has no image, or one contains the other.
    """
    folder = Path(folder)
    if not folder.is_dir():
        remedy = "put your faces there, `dvc pull` them, or set split.data in params.yaml"
        raise UserError(f"{folder}: no such data folder; {remedy}")
    given = given_folders(folder, real, fake) or [""]
    for name in given:
        check_apart(folder / name / real, folder / name / fake)
    kinds = [(real, 0, name) for name in given] + [(fake, 1, name) for name in given]
    return [image for kind in kinds for image in class_images(folder, *kind)]


def class_images(folder: Path, name: str, label: int, above: str = "") -> list[Found]:
    """The images of the class folder `above`/`name`, at any depth, by path. Raises UserError when it is missing or empty."""
    root = folder / above / name
    key = ("real", "fake")[label]
    if not root.is_dir():
        raise UserError(f"{root}: the folder of {key} faces is missing; create it or set split.{key} in params.yaml")
    if not root.resolve().is_relative_to(folder.resolve()):  # nor would DVC watch it
        raise UserError(
            f"{root}: is a link to a place outside the data folder; set split.data to a folder with both classes"
        )
    images = [path for path in walk(root)[0] if is_image(path.name)]
    if not images:
        raise UserError(f"{root}: no image in the folder of {key} faces; put some there ({' '.join(sorted(SUFFIXES))})")
    return [Found(path, stem_of(path, name), label) for path in (Path(above, name, path).as_posix() for path in images)]


def read_file(path: Path | str, folder: Path | str | None = None) -> bytes:
    """The bytes of a regular file of at most `MAX_BYTES`. Links are followed; pipes and devices are never opened or waited for.

    Args:
        folder: where the file must lie when all links are followed; it may be a link itself. Links into DVC's cache may lead
            out of it (`cache.type: symlink`): they are known by their target, which is named by the md5 of its content.

    Raises:
        BadImage: it cannot be read, is too large, not a regular file, or outside the folder.
    """
    try:
        real = os.fspath(path)
        facts = os.lstat(real)
        if stat.S_ISLNK(facts.st_mode):
            real = os.path.realpath(real, strict=True)
            facts = os.stat(real)
        elif folder is not None:
            # a relative name means another folder after a change of directory
            real = os.path.join(_real_folder(os.path.abspath(os.path.dirname(real))), os.path.basename(real))
        cached = ""
        if folder is not None and not real.startswith(_real_folder(os.path.abspath(folder)).rstrip(os.sep) + os.sep):
            if not (named := re.search(r"/([0-9a-f]{2})/([0-9a-f]{30})$", real)):
                raise BadImage("is a link that leads outside the data folder; put the file itself there")
            cached = named[1] + named[2]
        if not stat.S_ISREG(facts.st_mode):
            raise BadImage("is not a regular file")
        # the file may have been replaced since: even then a pipe is never waited for
        with open(os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise BadImage("is not a regular file")
            if facts.st_size > MAX_BYTES:
                raise BadImage(f"has {facts.st_size:,} bytes, more than the {MAX_BYTES:,} that are read")
            data = file.read(facts.st_size + 1)
    except OSError as error:
        raise BadImage(f"cannot be read ({error.strerror})") from None
    except ValueError:  # a zero byte in the name
        raise BadImage("cannot be read (not a valid file name)") from None
    if cached and hashlib.md5(data, usedforsecurity=False).hexdigest() != cached:
        raise BadImage("is a link that leads outside the data folder; put the file itself there")
    return data


_real_folder = lru_cache(maxsize=1024)(os.path.realpath)  # files of one folder come one after the other


def decode(path: Path | str, image_size: int, max_megapixels: float, folder: Path | str | None = None) -> Decoded:
    """Reads one file (`read_file`) and decodes it (`decode_bytes`). Raises BadImage as these do."""
    return decode_bytes(read_file(path, folder), image_size, max_megapixels)


def decode_bytes(data: bytes, image_size: int, max_megapixels: float) -> Decoded:
    """The shorter side becomes `image_size` (Pillow's antialiased bilinear), then the centre square.

    The same geometry as torchvision's `Resize(S)` and `CenterCrop(S)` on PIL images.

    Raises:
        BadImage: as `opened`.
    """
    with opened(data, max_megapixels) as (image, kind):
        return Decoded(square_pixels(image, image_size), hashlib.sha256(data).hexdigest(), *image.size, kind)


@contextmanager
def opened(data: bytes, max_megapixels: float) -> Iterator[tuple[Image.Image, str]]:
    """Yields the whole picture, upright, in 8-bit RGB, and its format. Of other threads not all can have large ones meanwhile.

    Of several frames or pages the first counts. EXIF orientation is applied; an EXIF block that cannot be read is left alone.
    Alpha is dropped: the stored colours count. 16-bit levels are rounded to 8 bits. CMYK becomes RGB by Pillow's formula; colour
    profiles are not applied.

    Raises:
        BadImage: empty, truncated, not an image of `FORMATS`, larger than `max_megapixels`, of levels that have no white
            (float, 32 bits), or made to take more time or memory than its size explains.
    """
    if not data:
        raise BadImage("is empty (0 bytes)")
    if len(data) > MAX_BYTES:
        raise BadImage(f"has {len(data):,} bytes, more than the {MAX_BYTES:,} that are read")
    _check_parts(data)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            kind = image.format or "?"
            _check_header(image, data, max_megapixels)
            with _room(image.width * image.height):
                photo = _rgb(image)
                if photo is not image:
                    image.close()  # its pixels too
                yield photo, kind
    except (BadImage, UserError):  # the latter from who uses the picture
        raise
    except Image.DecompressionBombError:
        raise BadImage("has more pixels than split.max_megapixels allows, which is 178 at most") from None
    except UnidentifiedImageError:
        raise BadImage(no_picture(data)) from None
    # Pillow's decoders raise many kinds on broken bytes (OSError, SyntaxError, struct.error, ...): each is a bad image.
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise BadImage(PACKED if "MAX_TEXT" in said else f"is damaged ({said})") from None


def quiet() -> None:
    """Silences Pillow's warnings and log lines about odd files: they name no file. Global: call it before threads start.

    These then share one heap (glibc): each of its own would keep the memory of the largest picture that its thread decoded.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # musl has none
        m_arena_max = -8  # malloc.h
        mallopt(m_arena_max, 1)


def _check_parts(data: bytes) -> None:
    """Raises BadImage when a JPEG, PNG or WebP file has more than `MAX_PARTS` segments or chunks."""
    jpeg, png, webp = data[:3] == b"\xff\xd8\xff", data[:4] == b"\x89PNG", data[:4] == b"RIFF"
    place = 2 if jpeg else 8 if png else 12 if webp else len(data)
    for _ in range(MAX_PARTS):
        if jpeg:
            place = data.find(b"\xff", place)
            marker = data[place + 1 : place + 2]
            if place < 0 or marker in (b"", b"\xda"):  # no more segment, or the first scan
                return
            if marker in (b"\0", b"\xff"):  # filling
                place += 1
            elif 0xD0 <= marker[0] <= 0xD9:  # of two bytes, without a length
                place += 2
            else:
                place += 2 + max(2, int.from_bytes(data[place + 2 : place + 4]))
        else:
            if place >= len(data):
                return
            size = int.from_bytes(data[place : place + 4] if png else data[place + 4 : place + 8][::-1])
            place += 12 + size if png else 8 + size + size % 2
    raise BadImage(f"has more than {MAX_PARTS:,} segments: crafted to exhaust programs, not a photo")


def _check_header(image: Image.Image, data: bytes, max_megapixels: float) -> None:
    """Raises BadImage for a file whose header promises too much; no pixel is decoded yet."""
    pixels = image.width * image.height
    if pixels > max_megapixels * 1e6:
        raise BadImage(f"has {image.width} x {image.height} pixels, more than split.max_megapixels allows")
    if max(image.size) > MAX_ASPECT * min(image.size):
        raise BadImage(f"has {image.width} x {image.height} pixels: a strip, not a face")
    if image.info.get("progressive") and data.count(b"\xff\xda") * pixels > MAX_SCANNED:
        raise BadImage("has too many scans for its size: crafted to exhaust programs, not a photo")
    if hasattr(image, "tag_v2"):  # TIFF
        width, length = (image.tag_v2.get(tag, 1) for tag in (322, 323))
        if not isinstance(width, int) or not isinstance(length, int) or width * length > MAX_TILE:
            raise BadImage(f"is stored in a tile of {width} x {length} pixels, more than any program writes")
    if image.mode in ("F", "I"):
        raise BadImage(
            f"has levels of 32 bits (mode {image.mode}), whose white level is unknown; save it with 8 or 16 bits"
        )


def _rgb(image: Image.Image) -> Image.Image:
    """Decodes the pixels: the first frame, upright, in 8-bit RGB."""
    image.load()
    if hasattr(image, "_decoder"):  # WebP's keeps two more canvases, and the pixels as bytes, as long as the image
        image._decoder = image.fp = None  # type: ignore[attr-defined]
    try:
        method = ORIENTATIONS.get(image.getexif().get(0x0112, 1))
    except Exception:  # an EXIF block may hold anything; the picture is there all the same
        method = None
    if method is not None:  # ImageOps.exif_transpose takes 100 MB more for the largest WebP
        image = image.transpose(method)
    if image.mode.startswith("I;16"):  # Pillow would cut every level above 255 to white
        return eight_bits(image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


_TAKEN = {"pixels": 0}
_CHANGED = threading.Condition()


@contextmanager
def _room(pixels: int) -> Iterator[None]:
    """Waits until the images that other threads decode leave room for so many pixels."""
    with _CHANGED:
        _CHANGED.wait_for(lambda: not _TAKEN["pixels"] or _TAKEN["pixels"] + pixels <= PIXELS_AT_ONCE)
        _TAKEN["pixels"] += pixels
    try:
        yield
    finally:
        with _CHANGED:
            _TAKEN["pixels"] -= pixels
            _CHANGED.notify_all()
