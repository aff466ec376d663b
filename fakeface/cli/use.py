"""Looks at a folder, or a list, of faces as people have them: says what there is and writes the lines of params.yaml that fit."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from fakeface.audit.persons import FEW, as_yaml, refusal, without_generators
from fakeface.cli.listing import GROUP, Row, gather, meaning, read_list, rows_of
from fakeface.cli.recipes import write_values
from fakeface.core.errors import UserError, printable
from fakeface.core.load import load_params
from fakeface.core.params import Params
from fakeface.images.decode import FORMATS, Found, find_images
from fakeface.images.listing import GIVEN, check_apart, given_folders, given_split, is_litter, left_out

DEPTH = 4  # folders down from the one that is named
LOOKED_AT = 200  # files a class, for formats and sizes
RAW = Path("data/raw")
OF_LIST = f"(?P<group>{GROUP}[^/]+)/[^/]+$"  # split.group_by: the folder in which `listing.gather` puts a list's group


class Pair(NamedTuple):
    """Two class folders beside each other: split.data, split.real, split.fake."""

    data: Path
    real: str
    fake: str


def use(place: Path, real: str | None, fake: str | None, *, swapped: bool, dry_run: bool) -> None:
    """Says what `place` holds, and writes it into ./params.yaml; files of a list, or of folders that lie apart, go to `RAW`.

    Args:
        place: a folder, or a list of files (`listing.read_list`).
        real, fake: the class folders, or the values of the list's label; None: found by `listing.meaning`.
        swapped: it is meant so that a class is named after the other.

    Raises:
        UserError: nothing fits, or more than one thing does; the message lists what is there.
    """
    if (real is None) != (fake is None):
        raise UserError("--real and --fake go together: name both classes, or none")
    for key, name in (("real", real), ("fake", fake)):
        if name and not swapped and meaning(Path(name).name) not in (key, None):
            raise UserError(f"--{key} {name}: is named as the other class; if that is meant, add --swapped")
    now = load_params()  # before anything is brought anywhere
    pair, rows = _look(place.expanduser(), real, fake)
    with TemporaryDirectory() as temporary:
        if rows and dry_run:
            pair = Pair(Path(temporary, "raw"), pair.real, pair.fake)
        if rows:
            gather(rows, pair.data)
        found = find_images(pair.data, pair.real, pair.fake)
        values = {"data": _shown(RAW if rows else pair.data), "real": pair.real, "fake": pair.fake} | suggestions(
            found, now
        )
        if any(row.group for row in rows):
            values["group_by"] = OF_LIST
        for label, name in enumerate((pair.real, pair.fake)):
            print(printable(describe(("real", "fake")[label], name, pair.data, [f for f in found if f.label == label])))
        if unused := left_out(pair.data, pair.real, pair.fake):
            print("not used: " + printable(", ".join(f"{n} {kind}" for kind, n in unused.items())))
    if rows:
        print(
            f"{'would be' if dry_run else 'are'} brought to {RAW}: links to the files, or copies where links cannot be"
        )
    own = values["data"] != "data/sample"  # which is drawn, and would be gone
    changes: dict[str, dict[str, Any]] = ({"sample": {"count": 0}} if own else {}) | {"split": values}
    lines = [f"{name}.{key}: {_quoted(value)}" for name, keys in changes.items() for key, value in keys.items()]
    print("params.yaml: " + printable(", ".join(lines)))
    if not dry_run:
        write_values(changes)
        print("written; next: fakeface check, then dvc repro")


def suggestions(found: list[Found], params: Params) -> dict[str, Any]:
    """How to split: a ready-made split is kept; images of one of many sub-folders, persons perhaps, stay together.

    Args:
        params: as they are, of which the rest stays.
    """
    now, values = params.split, dict[str, Any]()
    given = {given_split(image.stem)[0] for image in found}
    if "" not in given and {"train", "test"} <= given:
        values = {"protocol": "folders"} | ({"val": 0.15} if now.val >= 1 else {})
    elif now.protocol == "folders":
        values = {"protocol": "fractions"}
    stems, labels = [image.stem for image in found], np.array([image.label for image in found])
    folders = [given_split(stem)[1].rpartition("/")[0] for stem, label in zip(stems, labels, strict=True) if not label]
    if "" in folders or not FEW < len(set(folders)) < len(folders):
        return {"group_by": "photo"} | values
    group_by = without_generators(stems, labels)
    said = f"note: the {len(set(folders))} sub-folders of the reals look like persons"
    if group_by != "folder":
        said += ", some of the fakes' like generators, whose images are not kept together"
    if values.get("protocol") != "folders" and (reason := _refusal(stems, labels, group_by, params)):
        print(
            printable(
                f"{said}. split.group_by: {as_yaml(group_by)} would keep each on one side, but {reason}: it is not set"
            )
        )
        group_by = "photo"
    elif group_by != "folder":
        print(printable(said))
    return {"group_by": group_by} | values


def _refusal(stems: list[str], labels: np.ndarray, group_by: str, params: Params) -> str:
    """Why the split would refuse the groups, as far as names tell; empty where it would not."""
    p = params.split
    shares = (p.train, p.val, p.test) if p.protocol == "fractions" else (0.6, 0.15, 0.25)
    sizes = np.rint(np.outer(shares, np.bincount(labels, minlength=2))).astype(np.int64)
    return refusal(stems, labels, np.arange(len(stems)), group_by, sizes, "train", params.base.seed)


def class_pairs(folder: Path, depth: int = DEPTH) -> Iterator[Pair]:
    """Every pair of a folder named as real and one named as fake, side by side, in `folder` or below."""
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not is_litter(path.name))
    names: dict[str | None, list[str]] = {"real": [], "fake": [], None: []}
    for path in inside:
        names[meaning(path.name)].append(path.name)
    yield from (Pair(folder, real, fake) for real in names["real"] for fake in names["fake"])
    below = [pair for path in inside if path.name.lower() in GIVEN for pair in class_pairs(path, 0)]
    if below and len(one := {(pair.real, pair.fake) for pair in below}) == 1:  # train/real, test/real, ...
        yield Pair(folder, *one.pop())
        return
    if depth and not (names["real"] and names["fake"]):
        for path in inside:
            if not path.is_symlink():
                yield from class_pairs(path, depth - 1)


def describe(kind: str, name: str, data: Path, found: list[Found]) -> str:
    """One line on a class: images, sub-folders, formats by content and sides in pixels of up to `LOOKED_AT` files."""
    kinds: Counter[str] = Counter()
    sides = []
    for image in found[:: -(-len(found) // LOOKED_AT)]:
        try:
            with Image.open(data / image.path, formats=FORMATS) as opened:
                kinds[opened.format or "?"] += 1
                sides.append(min(opened.size))
        except Exception:  # Pillow raises many kinds; `dvc repro` names each file
            kinds["unreadable"] += 1
    folders = {Path(image.path).parent for image in found} - {Path(name)}
    below = f" in {len(folders)} sub-folders" if folders else ""
    formats = ", ".join(kind for kind, _ in kinds.most_common())
    size = f", {min(sides)} to {max(sides)} pixels (shorter side)" if sides else ""
    return f"{kind}: {name}: {len(found)} images{below}, {formats}{size}"


def _look(place: Path, real: str | None, fake: str | None) -> tuple[Pair, list[Row]]:
    """Where the classes are, and the files to be brought there first, if any."""
    raw = Pair(RAW, "0_real", "1_fake")
    if place.is_file():
        return raw, read_list(place, real, fake)
    if not place.is_dir():
        raise UserError(f"{place}: no such folder or list; name the folder that holds the two class folders")
    pairs = [Pair(place, real, fake)] if real and fake else list(class_pairs(place))
    if len(pairs) != 1:
        candidates = [pair.data / name for pair in pairs[:4] for name in (pair.real, pair.fake)]
        candidates = candidates or sorted(path for path in place.iterdir() if path.is_dir())[:8]
        there = ", ".join(dict.fromkeys(path.relative_to(place).as_posix() for path in candidates)) or "no folder"
        fault = "more than one real or fake folder" if pairs else "no folder is named real, and one beside it fake"
        raise UserError(f"{place}: {fault} (there is {printable(there)}); say which with --real FOLDER --fake FOLDER")
    pair = pairs[0]
    if given_folders(*pair):
        return pair, []
    folders = [pair.data / name for name in (pair.real, pair.fake)]
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; --real and --fake take folders in {place}, or whole paths")
    check_apart(*folders)
    if all(folder.resolve().is_relative_to(pair.data.resolve()) for folder in folders):
        return Pair(pair.data, *(folder.relative_to(pair.data).as_posix() for folder in folders)), []
    return raw, [row for label, folder in enumerate(folders) for row in rows_of(folder, bool(label))]


def _quoted(value: Any) -> str:
    """As params.yaml may have it."""
    return as_yaml(value) if "(?" in str(value) else str(value)


def _shown(path: Path) -> str:
    """As params.yaml has it: from the project's root where it lies in it, else whole."""
    whole, here = path.resolve(), Path.cwd()
    return whole.relative_to(here).as_posix() if whole.is_relative_to(here) else whole.as_posix()
