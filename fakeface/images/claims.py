"""What an image file's metadata says about its origin. That is no proof: anybody can add or remove it."""

import re
from typing import Any

from PIL import Image

from fakeface.core.errors import printable

LONGEST = 100  # characters of a text that is repeated
# PNG's texts in which generators keep what they were asked for, in lower case
TEXTS = {"parameters", "prompt", "workflow", "invokeai_metadata", "sd-metadata", "dream", "generation_data", "software"}
SOFTWARE, EXIF_IFD, COMMENT = 0x0131, 0x8769, 0x9286  # EXIF: the program, the block with the comment, the comment
ASKED = (
    0x010E,
    0x010F,
    0x0110,
)  # EXIF's description, maker and model, where ComfyUI writes "prompt:" and "workflow:" in WebP
SOURCE = b"lgorithmicMedia"  # the end of IPTC's names of synthetic sources, in XMP and in C2PA's assertions
C2PA = b"jumdc2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71"  # how its manifest store begins, in every format
CREATOR = re.compile(rb"CreatorTool\s*(?:=\s*[\"']|>)([^\"'<]{1,400})")


def claims(data: bytes, info: dict[Any, Any]) -> str:
    """In words, joined by "; ", each one line and short; empty where the file says nothing.

    Args:
        data: the file; info: Pillow's of the image that was opened and loaded from it.
    """
    found = [f"PNG text {key}: {_short(value)}" for key, value in info.items() if str(key).lower() in TEXTS]
    found += _exif(info.get("exif") or (data if data[:4] in (b"II*\0", b"MM\0*") else b""))
    xmp = info.get("xmp") or b""
    xmp = xmp.encode("utf-8", "replace") if isinstance(xmp, str) else bytes(xmp)
    if creator := CREATOR.search(xmp):
        found.append(f"XMP CreatorTool: {_short(creator[1])}")
    for text in (data, xmp):  # in PNG it may be compressed
        if (place := text.find(SOURCE)) > 0:
            word = re.findall(rb"[A-Za-z]*$", text[max(0, place - 40) : place])[0] + SOURCE
            found.append(f"digital source type {word.decode()}")
            break
    if C2PA in data:
        found.append("a C2PA manifest, not checked")
    return "; ".join(found)


def _exif(block: bytes) -> list[str]:
    found = []
    try:
        exif = Image.Exif()
        exif.load(block)
        if exif.get(SOFTWARE):
            found.append(f"EXIF Software: {_short(exif[SOFTWARE])}")
        texts = [exif.get(tag) for tag in ASKED]
        found += [f"EXIF {_short(text)}" for text in texts if re.match("(prompt|workflow):", str(text))]
        comment = exif.get_ifd(EXIF_IFD).get(COMMENT, b"")
        comment = comment if isinstance(comment, bytes) else str(comment).encode("utf-8", "replace")
        plain = comment[8:].replace(b"\0", b"") if comment.startswith(b"UNICODE") else comment  # UTF-16
        if b"Steps: " in plain:
            found.append(f"EXIF parameters: {_short(plain.removeprefix(b'ASCII').lstrip(bytes(1)))}")
    except Exception:  # the block may hold anything
        return found
    return found


def _short(value: Any) -> str:
    text = value[: 4 * LONGEST].decode("utf-8", "replace") if isinstance(value, bytes) else str(value)[: 4 * LONGEST]
    text = printable(" ".join(text.replace("\0", " ").split()))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
