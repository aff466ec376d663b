"""The split folder: `manifest.csv` and `pixels.npy`, uint8 [N, 3, S, S], row i of one is row i of the other.

Where pixels are native crops, `whole.npy` in the same folder has the whole pictures, resized, for code that compares photos."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from fakeface.core.cores import unbind
from fakeface.core.errors import UserError, one_line
from fakeface.core.files import read_json, sha256
from fakeface.images.decode import BadImage, Decoded, Found, decode, quiet
from fakeface.images.faces import decode_native
from fakeface.images.generators import generators
from fakeface.images.rows import PixelFile, RowFile, feature_views, pieces

COLUMNS = ["path", "label", "sha256", "source", "split", "width", "height", "format"]
SPLITS = ("train", "val", "test")
WHOLE = "whole.npy"
FACTS = "facts.json"  # what is known of all images: `drawings`, whether code drew them (the embedded sample)
UNUSED = "unused"  # images that a protocol of exact counts leaves over
# Decoded ahead of the writer: bounds the memory, whatever the number of images.
CHUNK = 256


@dataclass(frozen=True)
class Dataset:
    """An open split folder. `pixels`: a `PixelFile`, or an array of the same shape: rows are read when they are indexed.

    `whole`: the whole pictures, in the same way, if `pixels` are `native` crops of them; otherwise None.
    """

    folder: Path
    manifest: pd.DataFrame
    pixels: Any  # whoever takes rows of it may say np.ndarray
    whole: Any = None
    drawings: bool | None = None  # None: not known

    @classmethod
    def open(cls, folder: Path | str = "data/split") -> "Dataset":
        """Raises UserError when the folder is missing or its two files do not fit each other."""
        folder = Path(folder)
        try:
            manifest = pd.read_csv(folder / "manifest.csv", dtype={"path": str, "source": str}, keep_default_na=False)
            pixels = PixelFile(folder / "pixels.npy")
            whole = PixelFile(folder / WHOLE) if (folder / WHOLE).exists() else None
            drawings = read_json(folder / FACTS)["drawings"] if (folder / FACTS).exists() else None
        except (OSError, ValueError, LookupError, TypeError, EOFError, BadZipFile) as error:
            raise UserError(
                f"{folder}: the split is missing or incomplete ({one_line(error)}); run `dvc repro split`"
            ) from None
        whole_fits = whole is None or whole.shape == pixels.shape
        if list(manifest.columns) != COLUMNS or len(manifest) != len(pixels) or not whole_fits:
            raise UserError(f"{folder}: manifest.csv and pixels.npy do not fit each other; run `dvc repro -f split`")
        if not manifest["label"].isin([0, 1]).all() or not manifest["split"].isin([*SPLITS, UNUSED]).all():
            raise UserError(f"{folder}/manifest.csv: has an unknown label or split; run `dvc repro -f split`")
        return cls(folder, manifest, pixels, whole, drawings)

    @property
    def native(self) -> bool:
        """Whether pixels of larger images are crops at native scale (split.store)."""
        return self.whole is not None

    def facts(self) -> dict[str, Any]:
        """What a card says of the images: `pixels` where they are native, `drawings` where it is known whether they are."""
        known = {} if self.drawings is None else {"drawings": self.drawings}
        return known | ({"pixels": "native"} if self.native else {})

    @property
    def shown(self) -> Any:
        """uint8 [N, 3, S, S]: the whole pictures, by which photos are compared."""
        return self.pixels if self.whole is None else self.whole

    @property
    def labels(self) -> np.ndarray:
        """int64 [N]: 0 real, 1 fake."""
        return self.manifest["label"].to_numpy(dtype=np.int64)

    @cached_property
    def generators(self) -> np.ndarray:
        """str [N]: the generator of each fake (`generators.generators`)."""
        return generators(self.manifest["path"].tolist(), self.labels)

    def groups(self, balance: str) -> np.ndarray:
        """int64 [N], which images count alike: the labels, or for `generator` 0 real and 1, 2, ... the fakes of each."""
        if balance == "class":
            return self.labels
        groups, fake = self.labels.copy(), self.labels == 1
        groups[fake] += np.unique(self.generators[fake], return_inverse=True)[1]
        return groups

    @cached_property
    def data_hash(self) -> str:
        """sha256 of the manifest, which holds the sha256 of every image: one name for data and split."""
        return sha256(self.folder / "manifest.csv")

    def rows(self, split: str) -> np.ndarray:
        """int64 row numbers of one split."""
        return np.flatnonzero((self.manifest["split"] == split).to_numpy())

    def features(self, folder: Path | str = "data/features") -> dict[str, list[RowFile]]:
        """What the stage features made of this split: `train` and `val`, a view each, float32 [n, F], read when indexed.

        Raises:
            UserError: they are missing, damaged, of another split, or hold NaN or infinite values.
        """
        folder, stored = Path(folder), {}
        again = "run `dvc repro -f features`"
        try:
            same = (folder / "data_hash.txt").read_text().strip() == self.data_hash
            for name in ("train", "val"):
                stored[name] = feature_views(folder / f"{name}.npy")
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise UserError(f"{folder}: the features are missing or incomplete ({one_line(error)}); {again}") from None
        if not same:
            raise UserError(f"{folder}: were computed for another split; run `dvc repro features`")
        width = stored["train"][0].shape[1] if stored["train"] else 0
        for name, views in stored.items():
            fits = {view.shape for view in views} == {(len(self.rows(name)), width)}
            if not fits or not all(np.isfinite(piece).all() for piece in pieces(views)):
                raise UserError(
                    f"{folder}/{name}.npy: does not fit the split, or holds NaN or infinite values; {again}"
                )
        return stored


def decode_all(
    folder: Path, found: list[Found], image_size: int, max_megapixels: float, threads: int, native: bool = False
) -> Iterator[tuple[Found, Decoded | BadImage]]:
    """Decodes in parallel, yields in order: each image (`decode`, `decode_native`), or the reason why it cannot be used."""
    quiet()
    read = decode_native if native else decode

    def one(item: Found) -> Decoded | BadImage:
        # CSV writers leave a carriage return unquoted, and readers take it for the end of a line
        if "\r" in item.path or any("\ud800" <= c <= "\udfff" for c in item.path):
            return BadImage("has a name that a manifest cannot hold (not UTF-8, or with a carriage return); rename it")
        try:
            return read(folder / item.path, image_size, max_megapixels, folder)
        except BadImage as reason:
            return reason

    with ThreadPoolExecutor(threads, initializer=unbind) as pool:
        for start in range(0, len(found), CHUNK):
            chunk = found[start : start + CHUNK]
            yield from zip(chunk, pool.map(one, chunk), strict=True)


def write_pixels(
    path: Path,
    images: Iterator[tuple[Found, Decoded | BadImage]],
    n: int,
    image_size: int,
    keep: Callable[[Found, Decoded], None],
) -> list[tuple[str, str]]:
    """Streams decoded images into `path` (`.npy`, at most `n` rows) and calls `keep` for each one.

    Whole pictures of native crops go into the file `WHOLE` in the same folder.

    Returns:
        The images that could not be used: (path, reason).
    """
    bad: list[tuple[str, str]] = []
    row = 0
    header = {"descr": "|u1", "fortran_order": False, "shape": (n, 3, image_size, image_size)}
    with ExitStack() as stack:
        file, whole = stack.enter_context(open(path, "wb")), None
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        for item, result in images:
            if isinstance(result, BadImage):
                bad.append((item.path, str(result)))
                continue
            file.write(result.pixels.tobytes())
            if result.whole is not None:
                if whole is None:
                    whole = stack.enter_context(open(path.with_name(WHOLE), "wb"))
                    np.lib.format.write_array_header_1_0(whole, header)
                whole.write(result.whole.tobytes())
            keep(item, result)
            row += 1
        for written in filter(None, (file, whole) if row < n else ()):
            written.seek(0)  # the header is padded, so the true number of rows fits into its place
            header["shape"] = (row, 3, image_size, image_size)
            np.lib.format.write_array_header_1_0(written, header)
            if written.tell() != start:
                raise RuntimeError("the .npy header changed its length")
    return bad
