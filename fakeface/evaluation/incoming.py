"""Images that come from outside, as bytes, base64 text or paths, and their verdicts. All of them are untrusted."""

import base64
import binascii
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakeface.data.images import MAX_BYTES, BadImage, decode_bytes, quiet, read_file
from fakeface.evaluation.predictor import Predictor
from fakeface.training.networks import CLASSES

MAX_MEGAPIXELS = 50.0
BATCH = 64  # images decoded at once: bounds the memory


def judge(predictor: Predictor, images: Iterable[Any], folder: Path | None) -> pd.DataFrame:
    """One row an image, in order: `score` (probability of fake), `label` (1 fake, 0 real, at the card's threshold), `verdict`
    (`real` or `fake`), `problem` (empty, or why the image could not be read; the others are then NaN, -1 and empty).

    Args:
        images: bytes of an image file, such bytes as base64 text, or a path.
        folder: where paths may lead to; None refuses all of them, so that whoever reaches a server cannot try its files.
    """
    rows: list[tuple[float, int, str, str]] = []
    values = list(images)
    quiet()
    size, threshold = predictor.card["image_size"], predictor.card["threshold"]
    for start in range(0, len(values), BATCH):
        pixels: list[np.ndarray] = []
        problems: list[str] = []
        for value in values[start : start + BATCH]:
            try:
                pixels.append(decode_bytes(read_bytes(value, folder), size, MAX_MEGAPIXELS).pixels)
                problems.append("")
            except BadImage as error:
                problems.append(f"the image {error}")
        scores = iter(predictor.scores(np.stack(pixels), np.arange(len(pixels))) if pixels else ())
        for problem in problems:
            if problem:
                rows.append((float("nan"), -1, "", problem))
            else:
                score = float(next(scores))
                label = int(score >= threshold)
                rows.append((score, label, CLASSES[label], ""))
    return pd.DataFrame(rows, columns=["score", "label", "verdict", "problem"])


def read_bytes(value: Any, folder: Path | None) -> bytes:
    """The bytes of an image file from what a caller sent. Raises BadImage with the reason, which repeats nothing of the value."""
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
    elif not isinstance(value, str):
        raise BadImage(f"is of type {type(value).__name__}; send bytes, base64 text or a path")
    elif (path := _inside(value, folder)) is not None:
        data = read_file(path)
    elif len(value) > 2 * MAX_BYTES:  # base64 takes 4/3 of the bytes, and line breaks
        raise BadImage(
            f"is base64 text of {len(value):,} characters, too long for the {MAX_BYTES:,} bytes that are read"
        )
    else:
        try:
            data = base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError):
            allowed = (
                "and no path, for FAKEFACE_IMAGES names no folder"
                if folder is None
                else "and no file in FAKEFACE_IMAGES"
            )
            raise BadImage(f"is neither base64 text {allowed}") from None
    return data


def _inside(value: str, folder: Path | None) -> Path | None:
    """The file that `value` names, if it lies in `folder`, links followed; None where it does not."""
    if folder is None or len(value) > 4096 or "\0" in value:
        return None
    try:
        path = (folder / value).resolve()
        return path if path.is_relative_to(folder.resolve()) and path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # a name too long, a circle of links, half a character
        return None
