"""Rows of verdicts as text, one after the other: a table for people, CSV, JSON or JSON lines for programs."""

import csv
import json
import shutil
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, TextIO

from fakeface.core.errors import printable, readable
from fakeface.predict.names import Entry

FACE = {"face": 4, "left": 6, "top": 6, "right": 6, "bottom": 6}
WIDTHS = FACE | {"score": 6, "verdict": 7}
FACE_COLUMNS = tuple(FACE)  # a face's number in the picture, and the square that was scored, in upright pixels
FAR_FROM_SQUARE = 1.5  # long side to short side
MUCH_LARGER = 2  # short side to the detector's image size
LONGEST_PATH = 60  # characters; a longer one moves what stands behind it
NOTE = 20  # columns of a terminal that the table leaves to the note; with less a row takes several lines
NOT_SHOWN = (
    "problem",
    "says",
    "detector",
)  # in a table: the first two stand where the notes do, the last in the summary
FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # how a cell begins that a spreadsheet may run
Row = Mapping[str, Any]


def write_table(rows: Iterable[Row], out: TextIO, columns: list[str], path_width: int) -> None:
    """Names are `printable`. A problem stands where the notes do, for there is never both. A narrow terminal: a block a row."""
    shown = [name for name in columns if name not in NOT_SHOWN]
    widths = WIDTHS | {"path": min(path_width, LONGEST_PATH)}

    def line(values: Mapping[str, str]) -> str:
        return "  ".join(values[name].ljust(widths.get(name, 0)) for name in shown).rstrip() + "\n"

    room = shutil.get_terminal_size().columns
    blocks = out.isatty() and room < sum(widths.get(name, NOTE) + 2 for name in shown)
    if not blocks:
        out.write(line({name: name for name in shown}))
    for row in rows:
        values = {name: "" if row[name] is None else str(row[name]) for name in shown}
        values["path"] = printable(row["path"])
        values["score"] = "" if row["score"] is None else f"{row['score']:.4f}"
        says = f"the file says: {row['says']}" if row.get("says") else ""
        values["note"] = printable("; ".join(filter(None, [row["problem"] or row["note"], says])))
        if not blocks:
            out.write(line(values))
            continue
        square = " ".join(f"{name} {values[name]}" for name in shown if name in FACE and values[name])
        out.write(values["path"] + "\n")
        for text in (f"{values['verdict']} {values['score']}", square, values["note"]):
            out.writelines(f"  {part}\n" for part in textwrap.wrap(text, room - 2))


def write_csv(rows: Iterable[Row], out: TextIO, columns: list[str], _: int) -> None:
    """As RFC 4180 wants it but for the line's end: names may hold quotes and line breaks. For a terminal they are `printable`."""
    name = printable if out.isatty() else readable
    # with a line's end of "\n" the writer would leave a "\r" without quotes
    lines = SimpleNamespace(write=lambda line: out.write(line[:-2] + "\n"))
    writer = csv.DictWriter(lines, columns, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        plain = _plain(row) | {"path": name(row["path"])}
        writer.writerow({key: _no_formula(key, value) for key, value in plain.items()})


def _no_formula(key: str, value: Any) -> Any:
    """A text that a spreadsheet could take for a formula, made harmless: a path stays one (./=a.jpg), others get a quote."""
    if not isinstance(value, str) or not value.startswith(FORMULA):
        return value
    return ("./" if key == "path" else "'") + value


def write_json_lines(rows: Iterable[Row], out: TextIO, columns: list[str], _: int) -> None:
    """An object a line, ASCII."""
    for row in rows:
        out.write(_object(row, columns) + "\n")


def write_json(rows: Iterable[Row], out: TextIO, columns: list[str], _: int) -> None:
    """An array of objects."""
    before = "[\n "
    for row in rows:
        out.write(before + _object(row, columns))
        before = ",\n "
    out.write("[]\n" if before.startswith("[") else "\n]\n")


def _object(row: Row, columns: list[str]) -> str:
    plain = _plain(row) | {"path": readable(row["path"])}
    return json.dumps({name: plain[name] for name in columns})


def _plain(row: Row) -> dict[str, Any]:
    return {name: round(value, 9) if isinstance(value, float) else value for name, value in row.items()}


# Each writes rows to `out` as they come. `columns`: of every row, of which None is an empty field; the last argument: characters
# of the longest path.
FORMATS: dict[str, Callable[[Iterable[Row], TextIO, list[str], int], None]] = {
    "table": write_table,
    "csv": write_csv,
    "json": write_json,
    "jsonl": write_json_lines,
}


def rows_of(entry: Entry, predictions: Sequence[Any], card: dict[str, Any], detect: bool) -> Iterator[dict[str, Any]]:
    """A row for each prediction of an image, one without a score where it shows no face."""
    empty = dict.fromkeys((*FACE_COLUMNS, "score")) | dict.fromkeys(("verdict", "problem", "note"), "")
    if not predictions:
        yield {"path": entry.path, **empty, "note": "no face found"}
    for face, one in enumerate(predictions, 1):
        row: dict[str, Any] = {"path": entry.path, **empty, "score": one.score, "verdict": one.verdict}
        notes: list[str] = []
        if one.problem:
            row["problem"] = entry.problem or one.problem
        elif detect:
            row |= {"face": face, **dict(zip(FACE_COLUMNS[1:], one.square.box, strict=True))}
            # any scaling: a face that was cut out or framed may get the other verdict, so there is always a note
            notes = size_notes(one.square.width, one.square.width, card, much_larger=1)
        else:
            notes = size_notes(one.square.width, one.square.height, card)
        row["note"] = "; ".join(filter(None, [one.reason, *notes]))
        yield row


def size_notes(width: int, height: int, card: dict[str, Any], much_larger: float = MUCH_LARGER) -> list[str]:
    """What was done to a picture that is far from square or from the image size of the detector with this card; empty for others.

    All in pixels; `much_larger`: times that size, up to which there is no note.
    """
    size, short, done = card["image_size"], min(width, height), []
    if card.get("pixels") == "native" and short >= size:  # nothing is reduced
        done += [f"cropped to {size} x {size}"] if max(width, height) > MUCH_LARGER * size else []
    elif max(width, height) > FAR_FROM_SQUARE * short:
        done.append("cropped to the middle square")
    if short < size:
        done.append(f"enlarged to {size}")
    elif short > much_larger * size and card.get("pixels") != "native":
        done.append(f"reduced to {size}")
    return [f"{width} x {height} pixels: {', '.join(done)}"] if done else []
