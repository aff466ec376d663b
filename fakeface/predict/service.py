"""Images that come from outside, as bytes, base64 text or paths, and their verdicts. All of them are untrusted."""

import base64
import binascii
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch

from fakeface.detector.checkpoints import read_card
from fakeface.detector.device import configure
from fakeface.detector.networks import CLASSES
from fakeface.detector.predictor import Predictor
from fakeface.images import degrade
from fakeface.images.decode import MAX_BYTES, BadImage, decode_bytes, quiet, read_file

MAX_MEGAPIXELS = 50.0
BATCH = 64  # images decoded at once: bounds the memory
NETWORK_BATCH = 8  # as evaluate's default; a larger one is no faster on a CPU
DECODERS = 4  # threads at most
UNSURE = "unsure"
BAND = 0.1  # of scores around the threshold
# What a careful verdict must survive, from an image's square: number in its batch (unused), uint8 [3, S, S] -> uint8 [3, S, S].
ENSEMBLE: dict[str, Callable[[int, np.ndarray], np.ndarray]] = {
    "mirrored": lambda _, image: image[:, :, ::-1],
    "as JPEG 75": lambda _, image: degrade.jpeg(image, 75),
    "scaled to 0.75 and back": lambda _, image: degrade.resize(image, 0.75),
}


class Square(Protocol):
    """What a reader gives of an image, such as `images.Decoded`. `pixels`: uint8 [3, S, S], S the detector's image size."""

    @property
    def pixels(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Judged:
    """A verdict. `score`: probability of fake; `label`: 1 fake, 0 real, at the card's threshold; `verdict`: real, fake or unsure.

    `problem`: empty, or why the image could not be read; then the others are NaN, -1, empty and None. `square`: what was scored.
    `doubt`: why it is unsure.
    """

    score: float
    label: int
    verdict: str
    problem: str
    square: Any
    doubt: str = ""


def open_checkpoint(folder: Path) -> Predictor:
    """The detector in a checkpoint folder, computing as its card says: its seed, threads and precision, on a GPU if there is one.

    Raises:
        UserError: as `Predictor.load`.
    """
    card = read_card(folder)
    compute = configure(card.get("seed", 0), card.get("threads", 1), "auto", card.get("precision", "auto"))
    return Predictor.load(folder, compute, NETWORK_BATCH)


def judge(
    predictor: Predictor, images: Iterable[Any], folder: Path | None, *, careful: bool = False, band: float = BAND
) -> pd.DataFrame:
    """One row an image, in order: `score` (probability of fake), `label` (1 fake, 0 real, at the card's threshold), `verdict`
    (`real`, `fake`, or if careful `unsure`), `problem` (empty, or why the image could not be read; the others are then NaN, -1
    and empty).

    Args:
        images: bytes of an image file, such bytes as base64 text, or a path.
        folder: where paths may lead to; None refuses all of them, so that whoever reaches a server cannot try its files.
        careful, band: as `judge_each`.
    """
    size = predictor.card["image_size"]

    def read(value: Any) -> list[Square]:
        return [decode_bytes(read_bytes(value, folder), size, MAX_MEGAPIXELS)]

    rows = [
        (one.score, one.label, one.verdict, one.problem)
        for found in judge_each(predictor, images, read, careful=careful, band=band)
        for one in found
    ]
    return pd.DataFrame(rows, columns=["score", "label", "verdict", "problem"])


def judge_each(
    predictor: Predictor,
    images: Iterable[Any],
    read: Callable[[Any], Sequence[Square]],
    *,
    careful: bool = False,
    band: float = BAND,
) -> Iterator[list[Judged]]:
    """For each image, in order, a verdict on each of its squares. Holds 2 * BATCH images at a time, however many there are.

    The next images are decoded in threads while the network scores these.

    Args:
        read: gives the squares of an image, none or several, or raises BadImage, which gives one `Judged` with a problem.
        careful: say `unsure` where the score lies nearer than `band` to the threshold, or where one of ENSEMBLE falls on the
            other side of it. The score stays the plain image's.
    """

    def one(value: Any) -> Sequence[Square] | str:
        try:
            return read(value)
        except BadImage as error:
            return f"the image {error}"

    quiet()
    values = iter(images)
    ahead: deque[list[Future[Sequence[Square] | str]]] = deque()
    pool = ThreadPoolExecutor(min(DECODERS, torch.get_num_threads()))
    try:
        while True:
            chunk = [pool.submit(one, value) for value in islice(values, BATCH)]
            if chunk:
                ahead.append(chunk)
            if not ahead:
                return
            if len(ahead) == 2 or not chunk:
                yield from _verdicts(predictor, [future.result() for future in ahead.popleft()], careful, band)
    finally:  # also when nobody asks for more
        pool.shutdown(cancel_futures=True)


def _verdicts(
    predictor: Predictor, images: list[Sequence[Square] | str], careful: bool, band: float
) -> Iterator[list[Judged]]:
    squares = [square for found in images if not isinstance(found, str) for square in found]
    pixels = np.stack([square.pixels for square in squares]) if squares else None
    scores = np.empty(0) if pixels is None else predictor.scores(pixels, np.arange(len(pixels)))
    fake = scores >= predictor.card["threshold"]
    doubts = _doubts(predictor, pixels, scores, fake, band) if careful and pixels is not None else [""] * len(squares)
    answers = iter(zip(scores.tolist(), fake.tolist(), doubts, squares, strict=True))
    for found in images:
        if isinstance(found, str):
            yield [Judged(math.nan, -1, "", found, None)]
            continue
        yield [
            Judged(score, int(is_fake), UNSURE if doubt else CLASSES[is_fake], "", square, doubt)
            for score, is_fake, doubt, square in islice(answers, len(found))
        ]


def _doubts(predictor: Predictor, pixels: np.ndarray, scores: np.ndarray, fake: np.ndarray, band: float) -> list[str]:
    """Why each verdict is unsure, empty where it is not, from uint8 [N, 3, S, S] and its scores and verdicts [N]."""
    threshold = predictor.card["threshold"]
    doubts = ["near the threshold" if abs(score - threshold) < band else "" for score in scores]
    for name, change in ENSEMBLE.items():
        rows = np.array([row for row, doubt in enumerate(doubts) if not doubt], dtype=np.int64)  # one doubt is enough
        if not len(rows):
            break
        changed = degrade.each(pixels[rows], change, min(DECODERS, torch.get_num_threads()))
        other = predictor.scores(changed, np.arange(len(changed))) >= threshold
        for row in rows[other != fake[rows]]:
            doubts[row] = f"{name}: {CLASSES[not fake[row]]}"
    return doubts


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
