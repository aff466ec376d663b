"""Looks at a folder or list of faces in any usual layout, reports what it finds and writes the matching values to params.yaml."""

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from fakeface.audit.persons import FEW, as_yaml, refusal, without_generators
from fakeface.cli.listing import GROUP, Row, gather, meaning, read_list, rows_of
from fakeface.cli.recipes import write_values
from fakeface.core.errors import UserError, one_line, printable
from fakeface.core.load import load_params
from fakeface.core.params import Params
from fakeface.images.decode import Found, find_images, opened, quiet, read_file
from fakeface.images.kinds import FORMATS, no_picture
from fakeface.images.listing import GIVEN, check_apart, given_folders, given_split, is_image, is_litter, left_out

DEPTH = 4  # folders down from the one that is named
LOOKED_AT = 5000  # files a class, for formats and sizes
MOST_BYTES = 1_000_000_000
MOST_PIXELS = 100_000_000  # of a class, decoded; two seconds
DIFFERS = 0.05  # share of a class
LIST = "write a list, such as a CSV with the columns path and label (docs/data.md)"
SHOWN = 8  # names in a message
RAW = Path("data/raw")
OF_LIST = f"(?P<group>{GROUP}[^/]+)/[^/]+$"  # split.group_by: the folder in which `listing.gather` puts a list's group


class Pair(NamedTuple):
    """Two class folders side by side: split.data, split.real, split.fake."""

    data: Path
    real: str
    fake: str


def use(place: Path, real: str | None, fake: str | None, *, swapped: bool, dry_run: bool) -> None:
    """Says what `place` holds, and writes it into ./params.yaml; files of a list, or of folders in different places, go to `RAW`.

    Args:
        place: a folder, or a list of files (`listing.read_list`).
        real, fake: the class folders, or the values of the list's label; None: found by `listing.meaning`.
        swapped: it is meant so that a class is named after the other.

    Raises:
        UserError: nothing fits, or more than one thing does; the message lists what is there.
    """
    if (real is None) != (fake is None):
        raise UserError("--real and --fake must be given together")
    for key, name in (("real", real), ("fake", fake)):
        if name and not swapped and meaning(Path(name).name) not in (key, None):
            raise UserError(f"--{key} {name}: the name suggests the other class; if this is intended, add --swapped")
    quiet()
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
        formats = [
            describe(kind, name, pair.data, [f for f in found if f.label == label], now.split.max_megapixels)
            for label, (kind, name) in enumerate((("real", pair.real), ("fake", pair.fake)))
        ]
        if said := differ(formats):
            remedy = f"`fakeface normalise {values['data']} NEW_FOLDER` converts all images to one format"
            print(printable(f"warning: the classes differ in format ({said}), so a detector may learn that; {remedy}"))
        if unused := left_out(pair.data, pair.real, pair.fake):
            print("not used: " + printable(", ".join(f"{n} {kind}" for kind, n in unused.items())))
    if rows:
        print(f"the files {'would be' if dry_run else 'are'} linked into {RAW} (copied where links are not possible)")
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
    said = f"note: the {len(set(folders))} sub-folders of the real class look like persons"
    if group_by != "folder":
        said += "; some sub-folders of the fake class look like generators, which are not grouped"
    if values.get("protocol") != "folders" and (reason := _refusal(stems, labels, group_by, params)):
        print(
            printable(
                f"{said}. split.group_by: {as_yaml(group_by)} would keep each in one split, but {reason}: it is not set"
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


def describe(kind: str, name: str, data: Path, found: list[Found], max_megapixels: float) -> Counter[str]:
    """Prints one line on a class, and one on files that cannot be read: images, sub-folders, formats by content, sides.

    Up to `LOOKED_AT` files, and `MOST_BYTES`, are read, and `MOST_PIXELS` of the first of them are decoded.

    Returns:
        How many files each format has.
    """
    kinds: Counter[str] = Counter()
    sides, bad, room = [], list[str](), MOST_PIXELS
    size_of_all = sum(path.stat().st_size for image in found if (path := data / image.path).is_file())
    looked = found[:: max(-(-len(found) // LOOKED_AT), -(-size_of_all // MOST_BYTES), 1)]
    for image in looked:
        try:
            data_of = read_file(data / image.path, data)
            with Image.open(io.BytesIO(data_of), formats=FORMATS) as head:
                size, form = head.size, head.format or "?"
            if room > 0:
                room -= size[0] * size[1]
                with opened(data_of, max_megapixels):
                    pass
            kinds[form] += 1
            sides.append(min(size))
        except UnidentifiedImageError:
            bad.append(f"{image.path} {no_picture(data_of) if data_of else 'is empty (0 bytes)'}")
        except Exception as error:  # Pillow raises many kinds
            bad.append(f"{image.path} {one_line(error)}")
    folders = {Path(image.path).parent for image in found} - {Path(name)}
    below = f" in {len(folders)} sub-folders" if folders else ""
    formats = ", ".join(form for form, _ in kinds.most_common()) or "no format"
    size_of = f", {min(sides)} to {max(sides)} pixels (shorter side)" if sides else ""
    print(printable(f"{kind}: {name}: {len(found)} images{below}, {formats}{size_of}"))
    if bad:
        of = f"{len(bad)} of {len(looked)} files checked" if len(looked) < len(found) else str(len(bad))
        remedy = "repair or remove such files, or set split.on_bad_image: skip in params.yaml"
        print(printable(f"warning: {kind}: unreadable: {of}, such as {bad[0]}; {remedy}"))
    return kinds


def differ(formats: list[Counter[str]]) -> str:
    """In words, where a format has `DIFFERS` more of one class than of the other; otherwise empty."""
    shares = [{form: n / kinds.total() for form, n in kinds.items()} for kinds in formats]
    if all(abs(shares[0].get(form, 0) - shares[1].get(form, 0)) < DIFFERS for form in {*shares[0], *shares[1]}):
        return ""
    said = [", ".join(f"{n} {form}" for form, n in kinds.most_common()) or "none" for kinds in formats]
    return f"real: {said[0]}; fake: {said[1]}"


def _look(place: Path, real: str | None, fake: str | None) -> tuple[Pair, list[Row]]:
    """Where the classes are, and the files to be brought there first, if any."""
    raw = Pair(RAW, "0_real", "1_fake")
    if place.is_file():
        return raw, read_list(place, real, fake)
    if not place.is_dir():
        raise UserError(f"{place}: no such folder or list; name the folder that holds the two class folders")
    pairs = [Pair(place, real, fake)] if real and fake else list(class_pairs(place))
    if len(pairs) != 1:
        raise UserError(printable(f"{place}: {_no_pair(place, pairs)}"))
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


def _no_pair(place: Path, pairs: list[Pair]) -> str:
    """Why the class folders are not known, and what to do."""
    inside = sorted(path for path in place.iterdir() if not is_litter(path.name))
    candidates = [pair.data / name for pair in pairs for name in (pair.real, pair.fake)]
    folders = candidates or [path for path in inside if path.is_dir()]
    names = list(dict.fromkeys(path.relative_to(place).as_posix() for path in folders))
    there = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "") or "no folder"
    which = "name them with --real FOLDER --fake FOLDER"
    if len({pair.data for pair in pairs}) > 1:
        data = pairs[0].data.relative_to(place).as_posix()
        below = f"put them below the class folders ({pairs[0].real}/{data}), or {LIST}"
        said = f"name one of their folders ({pairs[0].data}), or, if they are persons or recordings, {below}"
        return f"{len(pairs)} pairs of a real and a fake folder ({there}); {said}"
    if pairs:
        return f"more than one real or fake folder (found: {there}); {which}, or make them sub-folders of one folder per class"
    if not names and (images := sum(is_image(path.name) for path in inside)):
        return f"{images} images but no folders; put each class into its own folder, real and fake, or {LIST}"
    known = {kind: [name for name in names if meaning(name) == kind] for kind in ("real", "fake", None)}
    one, other = ("real", "fake") if known["real"] else ("fake", "real")
    if len(known[one]) == 1 and known[None] and not known[other]:
        line = f"use --{one} {known[one][0]} --{other} {known[None][0]}"
        if len(known[None]) > 1:
            line += f", or another folder; if there are several, make them sub-folders of one folder named {other}"
        return f"{known[one][0]} is named {one}, but no folder next to it is named {other} (found: {there}); {line}"
    return f"no folders named real and fake side by side (found: {there}); {which}"


def _quoted(value: Any) -> str:
    """As params.yaml may have it."""
    return as_yaml(value) if "(?" in str(value) else str(value)


def _shown(path: Path) -> str:
    """As params.yaml has it: relative to the project's root if inside it, otherwise absolute."""
    whole, here = path.resolve(), Path.cwd()
    return whole.relative_to(here).as_posix() if whole.is_relative_to(here) else whole.as_posix()
