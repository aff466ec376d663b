"""Outputs appear whole or not at all: written under a temporary name, then renamed."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def root() -> Path:
    """The project's root: DVC names it, also where an experiment runs in a temporary copy; by hand the working folder."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


@contextmanager
def whole(path: Path | str) -> Iterator[Path]:
    """Yields `<path>.partial` (parent folders made, nothing there) and renames it to `path` when the block succeeds.

    Works for a file and for a folder (the block makes it). On an error the partial output is removed and what was at
    `path` before stays.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(partial)
    try:
        yield partial
        if partial.is_dir():
            _remove(path)
        partial.replace(path)
    finally:
        _remove(partial)


def write_text(path: Path | str, text: str) -> None:
    """Writes a small text file whole, UTF-8, with the line ends as they are in `text`."""
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def read_json(path: Path | str) -> Any:
    """The values in a JSON file. Raises OSError and ValueError."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_json(path: Path | str, value: Any) -> None:
    """Writes JSON values whole, indented."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_csv(path: Path | str, table: Any) -> None:
    """Writes a pandas DataFrame whole, without its index."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def sha256(path: Path | str) -> str:
    """Hex digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
