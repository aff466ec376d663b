"""Rows of verdicts as text, one after the other: a table for people, CSV, JSON or JSON lines for programs."""

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from fakeface.core.errors import printable, readable

WIDTHS = {"face": 4, "left": 6, "top": 6, "right": 6, "bottom": 6, "score": 6, "verdict": 7}
Row = Mapping[str, Any]


class Writer(ABC):
    """Writes to `out`. `columns`: of every row, of which None is an empty field; `path_width`: characters of the longest path."""

    def __init__(self, out: TextIO, columns: list[str], path_width: int = 4) -> None:
        self.out, self.columns = out, columns
        self.path_width = min(path_width, 60)
        self.rows = 0
        out.write(self.head())

    def write(self, row: Row) -> None:
        self.out.write(self.text(row))
        self.rows += 1

    def end(self) -> None:
        """After the last row."""
        self.out.write(self.tail())

    def head(self) -> str:
        return ""

    @abstractmethod
    def text(self, row: Row) -> str:
        """A row with all that stands around it."""

    def tail(self) -> str:
        return ""


class Table(Writer):
    """Names are `printable`. A problem stands where the notes do, for there is never both."""

    def head(self) -> str:
        self.shown = [name for name in self.columns if name != "problem"]
        return self._line({name: name for name in self.shown})

    def text(self, row: Row) -> str:
        values = {name: "" if row[name] is None else str(row[name]) for name in self.shown}
        values["path"] = printable(row["path"])
        values["score"] = "" if row["score"] is None else f"{row['score']:.4f}"
        values["note"] = printable(row["problem"] or row["note"])
        return self._line(values)

    def _line(self, values: Mapping[str, str]) -> str:
        cells = [
            values[name].ljust(self.path_width) if name == "path" else values[name].ljust(WIDTHS.get(name, 0))
            for name in self.shown
        ]
        return "  ".join(cells).rstrip() + "\n"


class Csv(Writer):
    """As RFC 4180 wants it but for the line's end: names may hold quotes and line breaks. For a terminal they are `printable`."""

    def head(self) -> str:
        self.name = printable if self.out.isatty() else readable
        return self._line(self.columns)

    def text(self, row: Row) -> str:
        return self._line([self.name(row[name]) if name == "path" else _plain(row[name]) for name in self.columns])

    def _line(self, values: list[Any]) -> str:
        line = io.StringIO()
        # with a line's end of "\n" the writer would leave a "\r" without quotes
        csv.writer(line, lineterminator="\r\n").writerow(values)
        return line.getvalue()[:-2] + "\n"


class JsonLines(Writer):
    """An object a line, ASCII."""

    def text(self, row: Row) -> str:
        return _object(row, self.columns) + "\n"


class Json(Writer):
    """An array of objects."""

    def head(self) -> str:
        return "["

    def text(self, row: Row) -> str:
        return (",\n " if self.rows else "\n ") + _object(row, self.columns)

    def tail(self) -> str:
        return "\n]\n" if self.rows else "]\n"


def _object(row: Row, columns: list[str]) -> str:
    return json.dumps({name: readable(row[name]) if name == "path" else _plain(row[name]) for name in columns})


def _plain(value: Any) -> Any:
    return round(value, 9) if isinstance(value, float) else value


FORMATS: dict[str, Callable[..., Writer]] = {"table": Table, "csv": Csv, "json": Json, "jsonl": JsonLines}
