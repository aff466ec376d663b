"""Odd and hostile image files, made here: what a stranger may send. No tests; those that need the files import `write_corpus`."""

import io
import os
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

KINDS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
HUGE_BYTES = 600_000_000  # of a sparse file, which takes no room on the disk


@dataclass(frozen=True)
class Case:
    """A file of the corpus. `words`: part of the reason why it cannot be read; empty where it can (`readable`).

    `outside`: a link that leads out of the folder; where only files of a folder are read, its reason says "outside". Names
    that are no UTF-8 or have a carriage return (`text` is false) are files like others, but no manifest can hold them.
    """

    name: str
    path: Path
    readable: bool
    words: str
    outside: bool = False

    @property
    def text(self) -> bool:
        return not any(0xDC80 <= ord(c) <= 0xDCFF or c == "\r" for c in self.name)


def write_corpus(folder: Path, outside: Path | None = None) -> list[Case]:
    """Makes the corpus in `folder` (not yet there), in a fixed order; each name ends with an image's suffix.

    Args:
        outside: a folder that links of the corpus lead out to; beside `folder` when not given.
    """
    folder.mkdir(parents=True)
    outside = outside or folder.parent / f"{folder.name}-outside"
    outside.mkdir(parents=True, exist_ok=True)
    cases = []
    for name, data, words in contents():
        path = folder / name
        path.write_bytes(data)
        cases.append(Case(name, path, not words, words))
    for raw in odd_names():
        path = folder / os.fsdecode(raw)
        path.write_bytes(encoded("PNG"))
        cases.append(Case(path.name, path, True, ""))
    return cases + list(_no_plain_files(folder, outside))


def contents() -> Iterator[tuple[str, bytes, str]]:
    """Name, bytes and the words of the reason (empty: can be read) of each plain file."""
    for kind in KINDS:
        suffix = kind.lower()
        data = encoded(kind)
        yield f"plain.{suffix}", data, ""
        yield f"one_pixel.{suffix}", encoded(kind, Image.new("RGB", (1, 1), (9, 99, 200))), ""
        for percent in (1, 10, 50, 90, 97):
            words = "damaged" if percent >= 50 else "is "
            yield f"cut_{percent:02}.{suffix}", data[: len(data) * percent // 100], words
        yield f"wrong_name_{suffix}.{'png' if kind == 'JPEG' else 'jpg'}", data, ""
    yield from _no_images()
    yield from _bombs()
    yield from _modes()
    yield from _exif_and_profiles()
    yield from _animated()
    yield from _polyglots()


def odd_names() -> list[bytes]:
    """File names as the system's bytes, each of a readable PNG; the last ones are no UTF-8."""
    return [
        b"two\nlines.png",
        b"carriage\rreturn.png",
        b"tab\tand \x1b[31mred\x1b[0m.png",
        b"'single' \"double\" `back`.png",
        b"comma, semicolon; and $(touch x).png",
        b"=1+1.png",
        b"-rf.png",
        b" space .png",
        b"%s %00 {0}.png",
        b"<img src=x onerror=alert(1)>.png",
        "😀🇩🇪 Gesicht é.png".encode(),
        "right-to-left \u202egnp.png".encode(),
        b"n" * 251 + b".png",  # 255 bytes, the most that a file system allows
        b"NA.png",
        b"back\\slash.png",
        b"latin1 \xe9.png",
        b"\xff\xfe.png",
    ]


def picture(width: int = 96, height: int = 80, seed: int = 0) -> Image.Image:
    """A smooth RGB picture with noise: no part of its file is without meaning."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize((width, height))
    noisy = np.asarray(coarse).astype(int) + rng.integers(-20, 20, (height, width, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    (image or picture()).save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    """A PNG chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, depth: int, colour: int, pixels: bytes, *more: bytes) -> bytes:
    """A PNG file with one IDAT chunk; `pixels` is the filtered rows, deflated; `more` are chunks before it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def png_with(*more: bytes) -> bytes:
    """The plain PNG with chunks behind its header."""
    data = encoded("PNG")
    return data[:33] + b"".join(more) + data[33:]


def zeros(size: int) -> bytes:
    """`size` zero bytes, deflated to a thousandth."""
    deflate, block = zlib.compressobj(9), bytes(1_000_000)
    return b"".join(deflate.compress(block[: size - i]) for i in range(0, size, len(block))) + deflate.flush()


def tiff(entries: list[tuple[int, int, int, int]], tail: bytes = b"") -> bytes:
    """A little-endian TIFF of one directory: (tag, type, count, value or offset); `tail` begins at byte 14 + 12 per entry."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4) + tail


def grey_tiff(width: int, height: int, tail: bytes, *more: tuple[int, int, int, int], compression: int = 1) -> bytes:
    """An 8-bit grey TIFF whose only strip (or tile, with tags in `more`) is `tail`."""
    tags = {256: width, 257: height, 258: 8, 259: compression, 262: 1, 277: 1}
    if not more:
        tags[278] = height
    entries = [(tag, 4, 1, value) for tag, value in tags.items()] + list(more)
    offset = 8 + 2 + 12 * (len(entries) + 2) + 4
    places = (324, 325) if more else (273, 279)
    return tiff([*entries, (places[0], 4, 1, offset), (places[1], 4, 1, len(tail))], tail)


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    """The plain JPEG with segments (marker, body) behind its first two bytes."""
    data = encoded("JPEG")
    more = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return data[:2] + more + data[2:]


def _no_images() -> Iterator[tuple[str, bytes, str]]:
    unknown = "not in a known image format"
    yield "empty.jpg", b"", "empty"
    yield "one_byte.jpg", b"\xff", unknown
    yield "zeros.jpg", bytes(5000), unknown
    yield "text.jpg", b"not an image\n", unknown
    yield "page.jpg", b"<!doctype html><script>alert(1)</script>", "a web page (HTML)"
    yield "page_with_drawing.jpg", b"\xef\xbb\xbf\n<!-- <svg> --><html><body><svg>", "a web page (HTML)"
    yield "drawing.png", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', "(SVG)"
    yield "comments.png", b"<!--" * 250, "a web page (HTML)"
    for name, brand, words in (
        ("raw", b"crx ", "a raw file"), ("video", b"mp42", "a video"), ("film", b"qt  ", "a video"),
        ("phone", b"heic", "a HEIC file"), ("burst", b"msf1", "a HEIC file"), ("broken", b"avif", "an AVIF file"),
        ("broken2", b"mif1\0\0\0\0miafavif", "an AVIF file"),
    ):  # fmt: skip
        yield f"{name}.jpg", b"\0\0\0\x18ftyp" + brand.ljust(16, b"\0") + bytes(400), words
    yield "web.png", b"\x1aE\xdf\xa3" + bytes(99), "a video"
    yield "old.png", b"RIFF\0\0\0\0AVI " + bytes(99), "a video"
    yield "archive.jpg", b"PK\x03\x04" + bytes(99), "an archive"
    yield "photoshop.tif", b"8BPS" + bytes(99), "a Photoshop file"
    yield "xl.jpg", b"\0\0\0\x0cJXL \r\n" + bytes(99), "a JPEG XL file"
    yield "jpeg2000.jpg", encoded("JPEG2000"), "a JPEG 2000 file"
    yield "apple_double.jpg", b"\0\x05\x16\x07" + bytes(99), "AppleDouble"
    yield "pointer.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"
    yield "program.png", b"\x7fELF\x02\x01\x01" + bytes(500), unknown
    yield "postscript.tif", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (w) file\n", "a PDF or PostS"
    yield "document.jpg", encoded("PDF"), "a PDF or PostScript document"
    yield "icon.png", encoded("ICO", Image.new("RGB", (32, 32))), unknown
    yield "portable.bmp", encoded("PPM"), unknown
    yield "signature_only.png", b"\x89PNG\r\n\x1a\n", "is "
    yield "signature_only.webp", b"RIFF\x04\0\0\0WEBP", "is "
    yield "signature_and_noise.jpg", b"\xff\xd8\xff" + np.random.default_rng(1).bytes(3000), "is "
    plain = encoded("PNG")
    yield "wrong_checksum.png", plain[:30] + bytes([plain[30] ^ 1]) + plain[31:], "is "


def _bombs() -> Iterator[tuple[str, bytes, str]]:
    strip = "a strip, not a face"
    yield "strip_wide.png", encoded("PNG", Image.new("RGB", (20_000, 1))), strip
    yield "strip_high.jpg", encoded("JPEG", Image.new("RGB", (1, 20_000))), strip
    yield "claims_30000.png", png(30_000, 30_000, 8, 2, zeros(1_000_000)), "pixels"
    yield "claims_most.png", png(2**31 - 1, 2**31 - 1, 16, 6, b""), "pixels"
    yield "no_width.png", png(0, 64, 8, 2, b""), "is "
    yield "true_bomb.png", png(20_000, 20_000, 1, 0, zeros(20_000 * 2501)), "pixels"
    yield "more_than_its_size.png", png(64, 64, 8, 2, zeros(100_000_000)), ""
    frame = encoded("JPEG")
    size = frame.index(b"\xff\xc0") + 5
    yield "claims_65500.jpg", frame[:size] + struct.pack(">HH", 65_500, 65_500) + frame[size + 4 :], "pixels"
    canvas = struct.pack("<I", 16_383)[:3] * 2  # width and height, less one each
    yield "claims_16384.webp", b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + canvas, "pixels"
    bitmap = encoded("BMP")
    yield "claims_50000.bmp", bitmap[:18] + struct.pack("<ii", 50_000, 50_000) + bitmap[26:], "pixels"
    yield "upside_down.bmp", bitmap[:22] + struct.pack("<i", -80) + bitmap[26:], ""
    yield "claims_100000.tiff", grey_tiff(100_000, 100_000, b"x"), "pixels"
    # tiles are decoded whole, however small the picture is that is cut out of them
    tile = [(322, 4, 1, 30_000), (323, 4, 1, 30_000)]
    yield "huge_tile.tiff", grey_tiff(64, 64, zeros(1_000_000), *tile, compression=8), "tile"
    yield "many_samples.tiff", tiff([(256, 4, 1, 64), (257, 4, 1, 64), (277, 4, 1, 60_000)]), "is "
    # one piece of the file, named by many tags
    tail = bytes(400_000)
    offset = 8 + 2 + 12 * 308 + 4
    named = [(40_000 + k, 7, len(tail), offset) for k in range(300)]
    plain = [(256, 4, 1, 64), (257, 4, 1, 64), (258, 4, 1, 8), (259, 4, 1, 1), (262, 4, 1, 1), (273, 4, 1, offset)]
    yield "tags_overlap.tiff", tiff([*plain, (278, 4, 1, 64), (279, 4, 1, 4096), *named], tail), ""
    block = tiff([(k, 7, 300_000, 100) for k in range(1000, 3000)], bytes(300_000))
    yield "exif_overlaps.png", png_with(chunk(b"eXIf", block)), ""
    yield "text_bomb.png", png_with(chunk(b"zTXt", b"Comment\0\0" + zeros(20_000_000))), "has texts"
    texts = [chunk(b"zTXt", b"Comment\0\0" + zeros(1_000_000))] * 80
    yield "many_texts.png", png_with(*texts), "has texts"
    yield "profile_bomb.png", png_with(chunk(b"iCCP", b"ICC\0\0" + zeros(20_000_000))), "colour profile"
    plain = encoded("JPEG")
    yield "endless_filling.jpg", plain[:2] + b"\xff" * 300_000 + plain[2:], "segments"
    yield "endless_segments.jpg", plain[:2] + b"\xff\xe5\0\2" * 300_000 + plain[2:], "segments"
    yield "endless_chunks.png", png_with(chunk(b"abCd", b"") * 300_000), "segments"
    unknown = b"abcd\0\0\0\0" * 300_000
    webp = encoded("WEBP")
    yield (
        "endless_chunks.webp",
        webp[:4] + struct.pack("<I", len(webp) - 8 + len(unknown)) + webp[8:] + unknown,
        "segments",
    )
    yield "many_scans.jpg", _scans(picture(), 300), ""
    yield "endless_scans.jpg", _scans(Image.new("L", (4000, 4000)), 3000), "scans"


def _scans(image: Image.Image, n: int) -> bytes:
    """A progressive JPEG that repeats its last scan `n` times: each would be decoded over the whole picture."""
    data = encoded("JPEG", image, progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * n + b"\xff\xd9"


def _modes() -> Iterator[tuple[str, bytes, str]]:
    image = picture()
    yield "palette.png", encoded("PNG", image.convert("P")), ""
    clear = image.quantize(16)
    yield "palette_transparent.png", encoded("PNG", clear, transparency=bytes(range(0, 256, 16))), ""
    yield "grey.png", encoded("PNG", image.convert("L")), ""
    yield "grey_transparent.png", encoded("PNG", image.convert("L"), transparency=7), ""
    yield "grey_alpha.png", encoded("PNG", with_alpha(image).convert("LA")), ""
    yield "alpha.png", encoded("PNG", with_alpha(image)), ""
    yield "alpha.webp", encoded("WEBP", with_alpha(image), lossless=True, exact=True), ""
    yield "alpha.tiff", encoded("TIFF", with_alpha(image)), ""
    yield "black_and_white.png", encoded("PNG", image.convert("1")), ""
    yield "fax.tiff", encoded("TIFF", image.convert("1"), compression="group4"), ""
    ramp = np.linspace(0, 65535, 96).astype(np.uint16)[None].repeat(80, 0)
    yield "grey_16.png", encoded("PNG", Image.fromarray(ramp)), ""
    yield "grey_16.tiff", encoded("TIFF", Image.fromarray(ramp)), ""
    swapped = encoded("TIFF", Image.frombytes("I;16B", (96, 80), ramp.astype(">u2").tobytes()))
    yield "grey_16_big_endian.tiff", swapped, ""
    rows = b"".join(b"\0" + row.astype(">u2").repeat(3).tobytes() for row in ramp)
    yield "colour_16.png", png(96, 80, 16, 2, zlib.compress(rows)), ""
    grey = np.asarray(image.convert("L"))
    yield "float.tiff", encoded("TIFF", Image.fromarray(grey.astype(np.float32) / 255)), "levels"
    nan = np.where(grey > 100, np.nan, np.inf).astype(np.float32)
    yield "float_nan.tiff", encoded("TIFF", Image.fromarray(nan)), "levels"
    yield "integer_32.tiff", encoded("TIFF", Image.fromarray(grey.astype(np.int32) * 70_000)), "levels"
    yield "cmyk.jpg", encoded("JPEG", image.convert("CMYK")), ""  # Pillow writes it as Adobe does, inverted
    yield "cmyk.tiff", encoded("TIFF", image.convert("CMYK")), ""
    yield "lab.tiff", encoded("TIFF", Image.frombytes("LAB", image.size, image.tobytes())), ""
    yield "grey.jpg", encoded("JPEG", image.convert("L")), ""
    yield "jpeg_inside.tiff", encoded("TIFF", image, compression="jpeg"), ""


def with_alpha(image: Image.Image) -> Image.Image:
    """RGBA: opaque on the left, clear on the right."""
    clear = image.copy()
    clear.putalpha(Image.linear_gradient("L").rotate(90).resize(image.size))
    return clear


def _exif_and_profiles() -> Iterator[tuple[str, bytes, str]]:
    for orientation in range(1, 9):
        yield f"orientation_{orientation}.jpg", encoded("JPEG", exif=exif(orientation)), ""
    for orientation in (0, 9, 65_535):
        yield f"orientation_{orientation}.png", encoded("PNG", exif=exif(orientation)), ""
    yield "orientation_6.tiff", encoded("TIFF", tiffinfo={274: 6}), ""
    yield "orientation_6.webp", encoded("WEBP", exif=exif(6)), ""
    yield "exif_noise.jpg", jpeg_with((0xE1, b"Exif\0\0" + np.random.default_rng(2).bytes(2000))), ""
    yield "exif_cut.jpg", jpeg_with((0xE1, exif(6)[:14])), ""
    circle = tiff([(274, 3, 1, 6), (34665, 4, 1, 8)], b"")
    yield "exif_circle.jpg", jpeg_with((0xE1, b"Exif\0\0" + circle)), ""
    yield "exif_text.jpg", jpeg_with((0xE1, b"Exif\0\0" + tiff([(274, 2, 4, 0x00363636)]))), ""
    yield "profile_noise.jpg", encoded("JPEG", icc_profile=np.random.default_rng(3).bytes(3000)), ""
    yield "profile_empty.png", encoded("PNG", icc_profile=b"\0"), ""
    yield "profile_huge.jpg", encoded("JPEG", icc_profile=bytes(5_000_000)), ""
    yield "profile_huge.webp", encoded("WEBP", icc_profile=bytes(5_000_000)), ""
    yield "comment.jpg", jpeg_with((0xFE, b"</style><script>alert(1)</script>\0\x1b[2J")), ""
    plain = encoded("JPEG")
    yield "fill_bytes.jpg", plain[:2] + b"\xff" * 50_000 + plain[2:], ""


def _animated() -> Iterator[tuple[str, bytes, str]]:
    frames = [picture(seed=k) for k in range(3)]
    more = {"save_all": True, "append_images": frames[1:]}
    yield "animated_gif.png", encoded("GIF", frames[0], **more), "a GIF file"
    yield "animated.png", encoded("PNG", frames[0], **more), ""
    yield "animated.webp", encoded("WEBP", frames[0], lossless=True, **more), ""
    yield "pages.tiff", encoded("TIFF", frames[0], **more), ""
    yield "claims_frames.png", png_with(chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))), ""
    circle = bytearray(encoded("TIFF"))
    start = struct.unpack_from("<I", circle, 4)[0]
    number = struct.unpack_from("<H", circle, start)[0]
    struct.pack_into("<I", circle, start + 2 + 12 * number, start)
    yield "pages_circle.tiff", bytes(circle), ""


def _polyglots() -> Iterator[tuple[str, bytes, str]]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../evil.py", "raise SystemExit")
    yield "with_archive.jpg", encoded("JPEG") + archive.getvalue(), ""
    yield "with_page.png", encoded("PNG") + b"<html><script>alert(1)</script></html>", ""
    yield "archive_first.jpg", archive.getvalue() + encoded("JPEG"), "an archive"
    yield "two_images.jpg", encoded("JPEG") + encoded("PNG"), ""
    yield "script_in_text.png", png_with(chunk(b"tEXt", b"Title\0<?php system($_GET[0]); ?>")), ""


def _no_plain_files(folder: Path, outside: Path) -> Iterator[Case]:
    """Links, folders, pipes, devices, and what may not be read. None of them may be waited for."""
    secret = outside / "secret.png"
    secret.write_bytes(encoded("PNG"))

    def made(name: str, make: Callable[[Path], object], words: str, outside: bool = False) -> Case:
        make(folder / name)
        return Case(name, folder / name, not words, words, outside)

    yield made("loop.jpg", lambda path: path.symlink_to(path.name), "cannot be read")
    yield made("loop_a.jpg", lambda path: path.symlink_to("loop_b.jpg"), "cannot be read")
    yield made("loop_b.jpg", lambda path: path.symlink_to("loop_a.jpg"), "cannot be read")
    yield made("dangling.jpg", lambda path: path.symlink_to("nowhere.jpg"), "cannot be read")
    yield made("link_inside.png", lambda path: path.symlink_to("plain.png"), "")
    yield made("link_out.png", lambda path: path.symlink_to(secret), "", outside=True)
    yield made("link_out_relative.png", lambda path: path.symlink_to(os.path.relpath(secret, folder)), "", outside=True)
    yield made(
        "link_to_passwd.jpg", lambda path: path.symlink_to("/etc/passwd"), "not in a known image format", outside=True
    )
    yield made("hard_link.png", lambda path: path.hardlink_to(folder / "plain.png"), "")
    yield made("pipe.jpg", os.mkfifo, "regular file")
    yield made("link_to_pipe.jpg", lambda path: path.symlink_to("pipe.jpg"), "regular file")
    for device in ("zero", "random", "tty"):
        yield made(
            f"device_{device}.jpg", lambda path, d=device: path.symlink_to(f"/dev/{d}"), "regular file", outside=True
        )
    yield made("link_to_memory.jpg", lambda path: path.symlink_to("/proc/self/mem"), "cannot be read", outside=True)
    yield made("folder.jpg", Path.mkdir, "regular file")
    yield made("socket.jpg", _bind, "regular file")
    yield made("huge.jpg", _sparse, "bytes")
    closed = folder / "closed.png"
    closed.write_bytes(encoded("PNG"))
    closed.chmod(0)
    may = os.access(closed, os.R_OK)
    yield Case("closed.png", closed, may, "" if may else "cannot be read")


def _bind(path: Path) -> None:
    here = os.open(
        path.parent, os.O_RDONLY
    )  # a socket's path has 108 bytes at most: named from the folder's descriptor
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)


def _sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.write(encoded("JPEG"))
        file.truncate(HUGE_BYTES)
