"""Which files to judge: names on the command line and on standard input, in a fixed order. Nothing is opened here."""

import codecs
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fakeface.core.errors import readable

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://|data:|file:", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """A file to judge, or why a name gives none. `path`: as the user wrote it, or as it was found below that.

    `folder`: the folder that was named, if the file was found in one; `others`: files of other kinds that were left out there,
    told with its first entry.
    """

    path: str
    folder: str | None = None
    problem: str = ""
    others: int = 0


def entries(names: Iterable[str]) -> Iterator[Entry]:
    """Files are taken whatever their suffix; of folders, the images in them at any depth, by path."""
    for name in names:
        if os.path.isdir(name):
            yield from _in_folder(name)
        elif ADDRESS.match(name) and not os.path.lexists(name):
            remedy = "give its path alone" if name[:5].lower() == "file:" else "save the picture, and give its path"
            yield Entry(name, problem=f"is an address, and nothing is downloaded; {remedy}")
        else:
            yield Entry(name)


def _in_folder(folder: str) -> Iterator[Entry]:
    """Links to folders are not followed, so there are no circles."""
    from fakeface.images.listing import is_image, is_litter  # here, for --help waits for no Pillow

    unread: list[OSError] = []
    files, others = [], 0
    for parent, folders, names in os.walk(folder, onerror=unread.append):
        folders[:] = sorted(name for name in folders if not is_litter(name))
        images = [name for name in names if is_image(name)]
        files += [os.path.join(parent, name) for name in images]
        others += sum(not is_litter(name) for name in names) - len(images)
    for error in unread:
        yield Entry(os.fspath(error.filename), folder, f"this folder cannot be read ({error.strerror})")
    for number, path in enumerate(sorted(files)):
        yield Entry(path, folder, others=0 if number else others)
    if not files and not unread:
        yield Entry(folder, folder, "a folder without an image" + (f"; {others} other files in it" if others else ""))


def split_list(data: bytes, null: bool) -> list[str]:
    """The names in a list, a line each, or each ended by a zero byte; empty ones are left out.

    Lines may end and begin as Windows writes them: carriage return and line feed, a byte order mark, UTF-16 after such a mark.
    """
    if null:
        return [os.fsdecode(name) for name in data.split(b"\0") if name]
    lines = without_mark(data).split(b"\n")
    return [os.fsdecode(name) for line in lines if (name := line.removesuffix(b"\r"))]


def without_mark(data: bytes) -> bytes:
    """A text file's bytes without a byte order mark; UTF-16 after such a mark becomes UTF-8."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16", "replace").encode()
    return data.removeprefix(codecs.BOM_UTF8)


def picture_name(number: int, path: str, face: int | None) -> str:
    """A name for a picture about a file: safe everywhere, unique by its number and face, still to be recognised."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", readable(Path(path).stem)).strip("_")[:60]
    return f"{number:06d}" + (f"_{stem}" if stem else "") + (f"_face{face}" if face else "") + ".jpg"
