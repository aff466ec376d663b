"""Facts about the files behind a manifest, and which of them are duplicates or twins of others. No pixel is decoded here."""

import hashlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from sys import intern

import numpy as np
import pandas as pd
from PIL import Image, JpegImagePlugin

from fakeface.core.errors import UserError
from fakeface.images.decode import FORMATS, BadImage, read_file
from fakeface.images.listing import stem_of
from fakeface.images.store import SPLITS
from fakeface.split.names import proposals
from fakeface.split.pairs import equal_pairs, first_equal, near_pairs
from fakeface.split.protocols import twins_across

FACTS = ["path", "label", "split", "source", "bytes", "format", "mode", "width", "height", "quantization", "quality",
         "subsampling", "traces"]  # fmt: skip
# What a file contains in addition to its pixels, by Pillow's names in `Image.info`.
TRACES = {"exif": "EXIF", "icc_profile": "ICC profile", "xmp": "XMP", "comment": "comment", "jfif": "JFIF", "adobe": "Adobe",
          "photoshop": "Photoshop", "progressive": "progressive", "interlace": "interlaced", "dpi": "dpi", "srgb": "sRGB chunk",
          "gamma": "gamma", "transparency": "transparency"}  # fmt: skip
EXIF_TRACES = {271: "EXIF camera", 272: "EXIF camera", 305: "EXIF software", 274: "EXIF orientation"}
SUBSAMPLING = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
MOST_PAIRS = 10_000  # listed of each kind; all are counted


@dataclass(frozen=True)
class Copies:
    """Pairs of rows of the manifest, int64 [P, 2], at most `MOST_PAIRS` of each kind, and how many there are in all.

    `exact`: each file with the first one of equal bytes; `near`: hashes close, other bytes, and no real-fake pair of one
    name, closest first; `classes`: a real image and a fake one of one photo; `splits`: a test or val image and one of the
    same photo in train (or val).
    """

    exact: np.ndarray
    near: np.ndarray
    classes: np.ndarray
    splits: np.ndarray
    counts: dict[str, int]


def read_facts(folder: Path | str, manifest: pd.DataFrame, max_megapixels: float) -> Iterator[dict[str, object]]:
    """One row of `FACTS` for each image of the manifest, in its order, from the files' headers.

    Raises:
        UserError: a file is gone, or is not the one that the split read (its sha256 differs).
    """
    for row in manifest.itertuples():
        path = Path(folder) / str(row.path)
        try:
            data = read_file(path, folder)
        except BadImage as error:
            raise UserError(f"{path}: {error}; run `dvc repro split`") from None
        if hashlib.sha256(data).hexdigest() != row.sha256:
            raise UserError(f"{path}: is not the file that the split read; run `dvc repro split`")
        try:
            facts = file_facts(data, max_megapixels)
        except ValueError as error:
            raise UserError(f"{path}: {error}; run `dvc repro -f split`") from None
        yield {"path": row.path, "label": row.label, "split": row.split, "source": row.source} | facts


def file_facts(data: bytes, max_megapixels: float) -> dict[str, object]:
    """What a file's header says, without decoding its pixels.

    Returns:
        bytes; format and mode (Pillow's names); width and height of the stored pixels; quantization (8 hex digits of a
        digest of JPEG's tables, or ""); quality (estimate on libjpeg's scale of 1 to 100, 0 where there are no tables);
        subsampling (of JPEG's chroma, or ""); traces (names joined by ", ").

    Raises:
        ValueError: no image of `images.FORMATS`, or more than `max_megapixels`.
    """
    try:
        # Pillow warns of large images and damaged EXIF; neither is news for the terminal, the size is checked here
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > max_megapixels * 1e6:
                raise ValueError(f"has {image.width} x {image.height} pixels, more than split.max_megapixels allows")
            tables = getattr(image, "quantization", None) if isinstance(image, JpegImagePlugin.JpegImageFile) else None
            chroma = JpegImagePlugin.get_sampling(image) if tables else None
            text = repr(sorted((k, list(v)) for k, v in tables.items())) if tables else ""
            return {
                "bytes": len(data),
                "format": image.format or "?",
                "mode": image.mode,
                "width": image.width,
                "height": image.height,
                "quantization": intern(hashlib.sha256(text.encode()).hexdigest()[:8] if text else ""),
                "quality": jpeg_quality(tables) if tables else 0,
                "subsampling": "" if chroma is None else SUBSAMPLING.get(chroma, "grey or other"),
                "traces": intern(", ".join(_traces(image))),  # one text for all images that have it
            }
    except ValueError:
        raise
    except Exception as error:  # Pillow raises many kinds on broken bytes
        raise ValueError(f"is damaged ({' '.join(str(error).split()) or type(error).__name__})") from None


def _traces(image: Image.Image) -> list[str]:
    names = {name for key, name in TRACES.items() if image.info.get(key)}
    if any(isinstance(key, str) and isinstance(value, str) for key, value in image.info.items()):
        names.add("text")  # PNG's text chunks: some generators write their prompt there
    if "exif" in image.info:  # only then: for some formats Pillow would decode the pixels to look for it
        try:
            names |= {EXIF_TRACES[tag] for tag in image.getexif() if tag in EXIF_TRACES}
        except Exception:  # untrusted bytes; its presence is noted all the same
            names.add("EXIF damaged")
    return sorted(names)


def jpeg_quality(tables: dict[int, list[int]]) -> int:
    """The quality, 1 to 100, whose standard luminance table lies nearest (sum of absolute differences)."""
    table = np.array(tables[min(tables)])
    return int(np.abs(_standard_tables() - table).sum(1).argmin()) + 1


@cache
def _standard_tables() -> np.ndarray:
    """int64 [100, 64]: libjpeg's luminance tables of qualities 1 to 100, asked from the encoder itself."""
    rows = []
    for quality in range(1, 101):
        file = io.BytesIO()
        Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
        with Image.open(file) as image:
            rows.append(image.quantization[0])  # type: ignore[attr-defined]
    return np.array(rows, dtype=np.int64)


def stems_of(manifest: pd.DataFrame, folders: tuple[str, str]) -> list[str]:
    """The paths without suffix, relative to the folder of their class."""
    return [stem_of(path, folders[label]) for path, label in zip(manifest["path"], manifest["label"], strict=True)]


def find_copies(manifest: pd.DataFrame, stems: list[str], hashes: np.ndarray, distance: int) -> Copies:
    """Exact duplicates, near-duplicates, twins across classes and across splits.

    Args:
        manifest: with path, label, sha256, source and split; stems: from `stems_of`.
        hashes: uint64 [N] perceptual hashes, row by row.
        distance: bits, 0 to 64: at most this far apart is a near-duplicate.
    """
    label, split = manifest["label"].to_numpy(), manifest["split"].to_numpy()
    digests = manifest["sha256"].tolist()
    source, digest = first_equal(manifest["source"].tolist()), first_equal(digests)
    rows = np.arange(len(manifest))

    exact = np.stack([digest, rows], axis=1)[digest != rows]
    near, near_count = _near(hashes, distance, digest, proposals(stems, label)[0])
    one_of_each = (
        pd.DataFrame({"source": source, "label": label, "row": rows}).groupby(["source", "label"])["row"].min()
    )
    classes = one_of_each.unstack().reindex(columns=[0, 1]).dropna().to_numpy(dtype=np.int64).reshape(-1, 2)
    splits = _across_splits(source, split)
    assigned = np.isin(split, SPLITS)
    counts = {
        "exact_duplicates": len(exact),
        "exact_duplicates_across_classes": int((label[exact[:, 0]] != label[exact[:, 1]]).sum()),
        "near_duplicates": near_count,
        "photos": len(np.unique(source)),
        "photos_in_both_classes": len(classes),
        "photos_in_several_splits": int((pd.Series(split[assigned]).groupby(source[assigned]).nunique() > 1).sum()),
        "test_images_with_twin_in_train": twins_across(source, split, "train"),
        "test_images_with_twin_in_val": twins_across(source, split, "val"),
    }
    return Copies(exact[:MOST_PAIRS], near, classes[:MOST_PAIRS], splits[:MOST_PAIRS], counts)


def pair_table(manifest: pd.DataFrame, copies: Copies, hashes: np.ndarray) -> pd.DataFrame:
    """All listed pairs, a row each: kind, path, other, split, other_split, bits (of 64 that their hashes differ)."""
    parts = []
    for kind in ("exact", "near", "splits", "classes"):
        i, j = getattr(copies, kind).T
        path, split = manifest["path"].to_numpy(), manifest["split"].to_numpy()
        bits = np.bitwise_count(hashes[i] ^ hashes[j])
        parts.append(pd.DataFrame({"kind": kind, "path": path[i], "other": path[j], "split": split[i],
                                   "other_split": split[j], "bits": bits}))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _near(hashes: np.ndarray, distance: int, digest: np.ndarray, named: np.ndarray) -> tuple[np.ndarray, int]:
    """The closest near-duplicates, int64 [P, 2], and how many pairs there are in all."""
    # Each hash once, as in `pairs.group`; an image whose hash was there before is paired with the first that had it.
    _, first, which, times = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
    near = _closest(_strangers(np.stack([first[which], np.arange(len(hashes))], axis=1), digest, named), hashes)
    near_count = int((times * (times - 1) // 2).sum())
    for block in near_pairs(hashes[first], distance):
        near_count += int((times[block[:, 0]] * times[block[:, 1]]).sum())
        pairs = _strangers(np.sort(first[block], axis=1), digest, named)
        near = _closest(np.concatenate([near, pairs]), hashes)
    # All pairs were counted; off go those of equal bytes, and the real-fake pairs of one name that are as close.
    near_count -= sum(len(pairs) for pairs in equal_pairs(digest))
    i, j = named.T
    near_count -= int(((np.bitwise_count(hashes[i] ^ hashes[j]) <= distance) & (digest[i] != digest[j])).sum())
    return near, near_count


def _across_splits(source: np.ndarray, split: np.ndarray) -> np.ndarray:
    """Each test image with the first image of its photo in train, then in val; each val image with one in train: int64 [P, 2]."""
    rows = np.arange(len(split))
    across: list[np.ndarray] = [np.empty((0, 2), dtype=np.int64)]
    for one, other in (("test", "train"), ("test", "val"), ("val", "train")):
        here = rows[split == one]
        there = pd.Series(rows[split == other], index=source[split == other])
        partner = there[~there.index.duplicated()].reindex(source[here])
        found = partner.notna().to_numpy()
        across.append(np.stack([here[found], partner[found].to_numpy(dtype=np.int64)], axis=1))
    return np.concatenate(across)


def _strangers(pairs: np.ndarray, digest: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Without pairs of equal bytes (an image with itself is one) and the real-fake pairs `named`; i < j in each of `pairs`."""
    n = len(digest)
    expected = np.isin(pairs[:, 0] * n + pairs[:, 1], named.min(1) * n + named.max(1))
    return pairs[(digest[pairs[:, 0]] != digest[pairs[:, 1]]) & ~expected]


def _closest(pairs: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    bits = np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]])
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0], bits))][:MOST_PAIRS]
