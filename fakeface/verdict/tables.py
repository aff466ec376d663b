"""Rows of verdicts as text, one after the other: a table for people, CSV, JSON or JSON lines for programs."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from fakeface.errors import printable
from fakeface.verdict.names import readable

WIDTHS = {"face": 4, "left": 6, "top": 6, "right": 6, "bottom": 6, "score": 6, "verdict": 7}
Row = Mapping[str, Any]


class Writer:
    """Writes to `out`. `columns`: of every row, of which None is an empty field; `path_width`: characters of the longest path."""

    def __init__(self, out: TextIO, columns: list[str], path_width: int = 4) -> None:
        self.out, self.columns = out, columns
        self.path_width = min(path_width, 60)
        self.rows = 0
        self.begin()

    def begin(self) -> None:
        pass

    def end(self) -> None:
        """After the last row."""

    def write(self, row: Row) -> None:
        self.one(row)
        self.rows += 1

    def one(self, row: Row) -> None:
        raise NotImplementedError


class Table(Writer):
    """Names are `printable`. A problem stands where the notes do, for there is never both."""

    def begin(self) -> None:
        self.shown = [name for name in self.columns if name != "problem"]
        self._line({name: name for name in self.shown})

    def one(self, row: Row) -> None:
        values = {name: "" if row[name] is None else str(row[name]) for name in self.shown}
        values["path"] = printable(readable(row["path"]))
        values["score"] = "" if row["score"] is None else f"{row['score']:.4f}"
        values["note"] = printable(row["problem"] or row["note"])
        self._line(values)

    def _line(self, values: Mapping[str, str]) -> None:
        cells = [
            values[name].ljust(self.path_width) if name == "path" else values[name].ljust(WIDTHS.get(name, 0))
            for name in self.shown
        ]
        self.out.write("  ".join(cells).rstrip() + "\n")


class Csv(Writer):
    """As RFC 4180 wants it but for the line's end: names may hold quotes and line breaks. For a terminal they are `printable`."""

    def begin(self) -> None:
        self.name = (lambda path: printable(readable(path))) if self.out.isatty() else readable
        self._line(self.columns)

    def one(self, row: Row) -> None:
        self._line([self.name(row[name]) if name == "path" else _plain(row[name]) for name in self.columns])

    def _line(self, values: list[Any]) -> None:
        line = io.StringIO()
        # with a line's end of "\n" the writer would leave a "\r" without quotes
        csv.writer(line, lineterminator="\r\n").writerow(values)
        self.out.write(line.getvalue()[:-2] + "\n")


class JsonLines(Writer):
    """An object a line, ASCII."""

    def one(self, row: Row) -> None:
        self.out.write(self.text(row) + "\n")

    def text(self, row: Row) -> str:
        return json.dumps({name: readable(row[name]) if name == "path" else _plain(row[name]) for name in self.columns})


class Json(JsonLines):
    """An array of objects."""

    def begin(self) -> None:
        self.out.write("[")

    def one(self, row: Row) -> None:
        self.out.write((",\n " if self.rows else "\n ") + self.text(row))

    def end(self) -> None:
        self.out.write("\n]\n" if self.rows else "]\n")


def _plain(value: Any) -> Any:
    return round(value, 9) if isinstance(value, float) else value


FORMATS: dict[str, Callable[..., Writer]] = {"table": Table, "csv": Csv, "json": Json, "jsonl": JsonLines}
