"""Rows of a `.npy` file, read a few at a time: pixels of images, features of images."""

import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fakeface.core.errors import UserError

PIECE = 1024  # rows at once, for whoever reads all of them


class RowFile:
    """Rows of a file, of one shape and type: read when indexed, and not kept.

    Stands where an array would: `shape`, `dtype`, `len`, and numpy's indexing along the first axis, which gives arrays.
    Not a memory map: its pages count as this process's memory once they were read, in the end the whole file. The system
    keeps what fits in its file cache all the same.

    Args:
        shape: of all rows together; start: bytes before the first row; stage: that writes the file.
    """

    change: Callable[[np.ndarray], np.ndarray] | None = None  # of rows as they are read, if any

    def __init__(self, path: Path | str, shape: tuple[int, ...], dtype: Any, start: int, stage: str) -> None:
        self.path, self.shape, self.dtype, self.stage = Path(path), shape, np.dtype(dtype), stage
        self._start = start
        self._numbers = np.arange(shape[0])
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        """One row number -> an array of `shape[1:]`; a slice, a list or an array of n numbers, or a mask -> of n rows.

        Raises:
            IndexError: there is no such row.
            UserError: the file has become shorter since it was opened.
        """
        numbers = self._numbers[index]
        rows = np.empty((*numbers.shape, *self.shape[1:]), dtype=self.dtype)
        size = int(np.prod(self.shape[1:])) * self.dtype.itemsize  # bytes of a row
        view = rows.reshape(-1).view(np.uint8).data
        for k, number in enumerate(numbers.reshape(-1).tolist()):
            done = 0
            while done < size:  # a read may be cut short, by a signal for one
                part = os.preadv(
                    self._file, [view[k * size + done : (k + 1) * size]], self._start + number * size + done
                )
                if part == 0:
                    raise UserError(f"{self.path}: ends before row {number}; run `dvc repro -f {self.stage}`")
                done += part
        return rows if self.change is None else self.change(rows)


class PixelFile(RowFile):
    """The rows of `pixels.npy`, uint8 [N, 3, S, S].

    Raises:
        ValueError: the file is no whole `.npy` of that shape and type.
    """

    def __init__(self, path: Path | str) -> None:
        what = "uint8 [N, 3, S, S]"
        shape, start = _header(path, np.uint8, 4, what)
        if shape[1] != 3 or shape[2] != shape[3]:
            raise ValueError(f"{Path(path).name} is not {what}")
        super().__init__(path, shape, np.uint8, start, "split")


def feature_views(path: Path | str) -> list[RowFile]:
    """The views in a file of features, float32 [views, n, F], as rows of [n, F] each.

    Raises:
        ValueError: the file is no whole `.npy` of that shape and type.
    """
    (views, *rest), start = _header(path, np.float32, 3, "float32 [views, n, F]")
    return [RowFile(path, tuple(rest), np.float32, start + 4 * k * rest[0] * rest[1], "features") for k in range(views)]


def pieces(views: Sequence[Any]) -> Iterator[np.ndarray]:
    """All rows of `feature_views`, or of an array [views, n, F], in order: [up to `PIECE`, F] at a time."""
    for view in views:
        for start in range(0, len(view), PIECE):
            yield view[start : start + PIECE]


def _header(path: Path | str, dtype: Any, axes: int, what: str) -> tuple[tuple[int, ...], int]:
    """Shape, and bytes before the first number."""
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)  # numpy checks header and length; no page is read
    if not isinstance(mapped, np.memmap) or mapped.dtype != dtype or mapped.ndim != axes or np.isfortran(mapped):
        raise ValueError(f"{Path(path).name} is not {what}")
    return mapped.shape, mapped.offset
