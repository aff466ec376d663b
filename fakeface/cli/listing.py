"""Faces by a list (CSV, TSV, JSON, JSON lines) or in folders in different places, collected in one folder for the pipeline."""

import hashlib
import io
import json
import os
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from fakeface.core.errors import UserError, printable
from fakeface.core.files import whole
from fakeface.images.listing import GIVEN, is_litter, walk
from fakeface.predict.names import without_mark

if TYPE_CHECKING:
    import pandas as pd

# What a column may be called; the first that is there counts.
COLUMNS = {
    "path": ("path", "file", "filename", "file_name", "image", "image_path", "img"),
    "label": ("label", "class", "target", "is_fake", "fake"),
    "generator": ("generator", "method", "source", "model"),
    "group": ("group", "person", "identity", "id", "video", "original"),
    "split": ("split", "subset", "partition", "fold"),
}
LONGEST = 80  # bytes of a folder's name
GROUP = "group-"  # how the folder of a list's group begins
WORDS = {
    "real": {"real", "reals", "original", "originals", "authentic", "genuine", "pristine"},
    "fake": {"fake", "fakes", "generated", "synthetic", "manipulated", "deepfake", "deepfakes", "altered"},
}


@dataclass(frozen=True)
class Row:
    """One image: the file, its class, its folder inside the class, such as its generator's, its group and split ("" for none)."""

    path: Path
    fake: bool
    folder: str = ""
    group: str = ""
    split: str = ""


def read_list(path: Path, real: str | None, fake: str | None) -> list[Row]:
    """The rows of a list; file names are relative to the list's folder. DFDC's metadata.json is one: file -> label, original.

    Args:
        real, fake: the label's values; without them by `meaning`, and 0 and 1 of a column `is_fake` or `fake`.

    Raises:
        UserError: a column is missing, a label is neither real nor fake, or a file is not there or in both classes.
    """
    table = _table(path)
    real, fake = (name and _label(name) for name in (real, fake))
    names = {str(name).strip().casefold(): name for name in table.columns}
    found = {key: names[name] for key, known in COLUMNS.items() if (name := next((n for n in known if n in names), ""))}
    for key in ("path", "label"):
        if key not in found:
            raise UserError(
                f"{path}: no column for the {key}; name one {' or '.join(COLUMNS[key][:3])} (found: {', '.join(names)})"
            )
    label = str(found["label"]).strip().casefold()
    ones = label in ("is_fake", "fake")
    known = {"0": False, "false": False, "1": True, "true": True} if ones else {}
    table[found["label"]] = table[found["label"]].map(_label)
    known |= {said.casefold(): kind == "fake" for said in set(table[found["label"]]) if (kind := meaning(said))}
    if real is not None and fake is not None:
        known = {real.casefold(): False, fake.casefold(): True}
    if unknown := [str(name) for name in table.columns if name not in found.values()]:
        print(f"note: {path}: columns not used: {printable(', '.join(unknown))}")
    rows, hidden, seen = [], [], dict[Path, tuple[bool, Any]]()
    for number, values in zip(table.index, table.to_dict("records"), strict=True):
        said, name = values[found["label"]], values[found["path"]].strip()
        if any(map(is_litter, {*Path(name).parts[-1 if Path(name).is_absolute() else 0 :]} - {"..", "."})):
            hidden.append(name)
            continue
        if said.casefold() not in known:
            there = sorted(set(table[found["label"]]))
            shown = ", ".join(there[:10]) + (", ..." if len(there) > 10 else "")
            remedy = f"name the labels with --real VALUE --fake VALUE (found: {shown})"
            if {known.get(name.casefold()) for name in there} >= {False, True}:
                remedy = f"correct it, or {remedy}"
            column = f"in row {number}, column {found['label']},"
            raise UserError(f"{path}: {said!r} {column} is neither real nor fake; {remedy}")
        file = path.parent / name
        if not os.path.isfile(file):  # which takes no name for an error
            raise UserError(f"{path}: {printable(file)}: no such file; names are relative to the list's folder")
        is_fake = known[said.casefold()]
        first = seen.setdefault(file.resolve(), (is_fake, number))
        if first[0] != is_fake:
            raise UserError(
                f"{path}: {printable(name)} is real and fake, in row {first[1]} and in row {number}; keep one"
            )
        group = values[found["group"]] if "group" in found else ""
        if found.get("group") == "original" and not is_fake:
            group = file.name  # a fake names its original; the original is of its own group
        generator = values[found["generator"]] if is_fake and "generator" in found else ""
        group = f"{GROUP}{_folder_name(group)}" if group.strip() else ""
        split = GIVEN.get(values[found["split"]].strip().casefold(), "") if "split" in found else ""
        rows.append(Row(file, is_fake, _folder_name(generator), group, split))
    if hidden:
        print(f"note: {path}: {len(hidden)} hidden files, such as {printable(hidden[0])}, are ignored")
    if {row.fake for row in rows} != {False, True}:
        raise UserError(f"{path}: all {len(rows)} files have the same label; a list needs both classes")
    splits = {row.split for row in rows}
    if "split" in found and ("" in splits or not {"train", "test"} <= splits):
        print(
            f"note: {path}: the column {found['split']} is ignored: every file must be assigned to train, val or test"
        )
        rows = [replace(row, split="") for row in rows]
    return rows


def meaning(name: str) -> str | None:
    """`real` or `fake`, if a word of the name says so, and none says the other."""
    words = set(re.findall(r"[a-z]+", name.casefold()))
    said = [key for key, known in WORDS.items() if words & known]
    return said[0] if len(said) == 1 and "not" not in words else None


def rows_of(folder: Path, fake: bool) -> list[Row]:
    """All files of a class folder, each with its sub-folder."""
    folders = {path: path.parent.as_posix().removeprefix(".") for path in walk(folder)[0]}
    return [Row(folder / path, fake, inside) for path, inside in folders.items()]


def gather(rows: list[Row], into: Path) -> None:
    """Makes `into` with 0_real/ and 1_fake/ of the rows' files, whole or not at all: hard links, or copies from another disk.

    Files of one name in one folder get the first digits of their path's digest.

    Raises:
        UserError: `into` holds something already, or a file cannot be read.
    """
    if into.is_dir() and any(into.iterdir()):
        raise UserError(f"{into}: is not empty; move its files elsewhere first, so that none are lost")
    places: dict[PurePosixPath, Path] = {}
    with whole(into.resolve()) as partial:  # behind a link, which stays
        partial.mkdir()
        for row in rows:
            place = PurePosixPath(row.split, ("0_real", "1_fake")[row.fake], row.folder, row.group, row.path.name)
            source = row.path.resolve()
            if place in places and places[place] != source:
                place = place.with_stem(f"{place.stem}-{hashlib.sha256(str(row.path).encode()).hexdigest()[:8]}")
            if place in places:  # listed twice
                continue
            places[place] = source
            (partial / place).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, partial / place)
            except OSError:
                try:
                    shutil.copyfile(source, partial / place)
                except OSError as error:
                    raise UserError(f"{printable(source)}: cannot be read ({error.strerror})") from None


def _table(path: Path) -> "pd.DataFrame":
    """All cells as text, empty ones as ""; its index is the row in the file, of a table with its head as row 1."""
    import pandas as pd

    try:
        data = io.BytesIO(without_mark(path.read_bytes()))
        if path.suffix.lower() in (".csv", ".tsv"):
            head = re.sub('"[^"]*"', "", data.readline().decode())
            data.seek(0)
            separator = max(",;\t", key=head.count)  # Excel writes ; where numbers have a decimal comma
            table = pd.read_csv(
                data, sep=separator, dtype=str, keep_default_na=False, index_col=False, skip_blank_lines=False
            )
            table.index += 2
            table = table[(table != "").any(axis=1)]
        elif path.suffix.lower() in (".json", ".jsonl"):
            text = data.read().decode()
            lines = path.suffix.lower() == ".jsonl"
            values: Any = (
                [json.loads(line) for line in text.splitlines() if line.strip()] if lines else json.loads(text)
            )
            if isinstance(values, dict):  # file -> what is known of it
                values = [{"path": name} | entry for name, entry in values.items()]
            table = pd.DataFrame(values, dtype=object)  # else one number that is missing makes all of them floats
            table.index += 1
            table = table.where(table.notna(), "").astype(str)
        else:
            raise UserError(f"{path}: is neither a folder nor a list that ends in .csv, .tsv, .json or .jsonl")
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8; save it as CSV UTF-8 (or, if it is no CSV, as UTF-8)") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: not readable as a list ({' '.join(str(error).split())[:120]})") from None
    if table.empty:
        raise UserError(f"{path}: the list has no rows")
    return table


def _label(text: str) -> str:
    """A label as it is compared: 1.0 is 1."""
    return re.sub(r"^(\d+)\.0+$", r"\1", text.strip())


def _folder_name(text: str) -> str:
    """A value as the name of one folder, which no file's name is; none for none."""
    name = "".join(c if c.isalnum() or c in "-_ " else "_" for c in text.strip())
    return name if len(name.encode()) <= LONGEST else f"{name[:20]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
