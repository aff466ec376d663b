"""Which files of a folder are data, decided here for every command that lists images."""

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from fakeface.core.errors import UserError
from fakeface.images.kinds import FORMATS

SUFFIXES = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif"}
SUFFIXES |= {".heic", ".heif"} if "HEIF" in FORMATS else set()
# What macOS, Windows and file servers leave among pictures, in lower case; some of it looks like a picture.
LITTER = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "@eadir"}
# Folders of a ready-made split, in lower case, above the class folders or right below them.
GIVEN = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
         "testing": "test"}  # fmt: skip


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is ignored without a note: hidden ones (a dot first), and `LITTER`."""
    return name.startswith(".") or name.lower() in LITTER


def is_image(name: str) -> bool:
    return not is_litter(name) and os.path.splitext(name)[1].lower() in SUFFIXES


def walk(root: Path) -> tuple[list[Path], list[Path]]:
    """All files under `root` at any depth but litter, and the links to folders, which are not followed; relative to `root`.

    In one order on every system, whichever Unicode form it gives names.

    Raises:
        UserError: a folder cannot be read.
    """
    files, links = [], []

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: this folder cannot be read ({error.strerror})")

    for parent, folders, names in os.walk(root, onerror=refuse):
        folders[:] = [name for name in folders if not is_litter(name)]
        here = Path(parent).relative_to(root)
        links += [here / name for name in folders if os.path.islink(os.path.join(parent, name))]
        files += [here / name for name in names if not is_litter(name)]
    return sorted(files, key=_place), sorted(links, key=_place)


def given_folders(folder: Path, real: str, fake: str) -> list[str]:
    """Folders of `GIVEN` names that hold the class folders, if these are not in the data folder itself."""
    if any((folder / name).is_dir() for name in (real, fake)):
        return []
    names = [path.name for path in sorted(folder.iterdir()) if path.name.lower() in GIVEN]
    return [name for name in names if any((folder / name / kind).is_dir() for kind in (real, fake))]


def check_apart(real: Path, fake: Path) -> None:
    """Raises UserError where links make the two class folders one, or one of them a part of the other."""
    places = [path.resolve() for path in (real, fake)]
    if places[0].is_relative_to(places[1]) or places[1].is_relative_to(places[0]):
        link = next((path for path in (fake, real) if path.is_symlink()), fake)
        raise UserError(
            f"{link}: leads to {link.resolve()}, so images of one class are in the other too; name two folders side by side"
        )


def stem_of(path: str, class_folder: str) -> str:
    """The path without suffix below its class folder; a folder of `GIVEN` above that one comes first."""
    whole = PurePosixPath(path).with_suffix("")
    if whole.is_relative_to(class_folder):
        return whole.relative_to(class_folder).as_posix()
    return (whole.parts[0] / PurePosixPath(*whole.parts[1:]).relative_to(class_folder)).as_posix()


def given_split(stem: str) -> tuple[str, str]:
    """The split that a folder of `GIVEN` says, or "", and the stem without that folder."""
    first, slash, rest = stem.partition("/")
    split = GIVEN.get(first.lower(), "") if slash else ""
    return (split, rest) if split else ("", stem)


def renamed(paths: Sequence[Path], suffix: str) -> dict[Path, Path]:
    """New place -> path: the same folders and names with another suffix. Of two that differ in theirs alone both stay: the second
    one's is made part of its name."""
    places: dict[Path, Path] = {}
    for path in paths:
        names = [path.stem, f"{path.stem}-{path.suffix[1:]}", *(f"{path.stem}-{n}" for n in range(2, 2 + len(paths)))]
        places[next(place for name in names if (place := path.with_name(name + suffix)) not in places)] = path
    return places


def left_out(folder: Path | str, real: str, fake: str) -> dict[str, int]:
    """How many files of a data folder are not used, by kind, such as `avif files` -> 4; litter is not counted."""
    folder, kinds = Path(folder), Counter[str]()
    files, links = walk(folder)
    given = given_folders(folder, real, fake) or [""]
    for path in files:
        if not any(path.is_relative_to(Path(name, kind)) for name in given for kind in (real, fake)):
            kinds[f"files in {path.parts[0]}" if len(path.parts) > 1 else "files beside the class folders"] += 1
        elif not is_image(path.name):
            kinds[f"{path.suffix[1:].lower()} files" if path.suffix else "files without a suffix"] += 1
    if links := [path for path in links if path not in (Path(real), Path(fake))]:
        kinds["links to folders"] = len(links)
    return dict(sorted(kinds.items()))


def _place(path: Path) -> tuple[tuple[str, ...], Path]:
    return tuple(unicodedata.normalize("NFC", part) for part in path.parts), path
