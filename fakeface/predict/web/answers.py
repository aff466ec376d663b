"""From uploaded files to what the page says of each: verdict, score, the picture beside its heat map."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fakeface.core.errors import printable
from fakeface.detector.predictor import Predictor
from fakeface.images.decode import decode_bytes
from fakeface.pages.render import images_uri
from fakeface.predict.command import size_notes
from fakeface.predict.pictures import heat_overlay
from fakeface.predict.service import BAND, MAX_MEGAPIXELS, Prediction, predict_images

PICTURE = 224  # pixels, height of a picture on the page


@dataclass(frozen=True)
class Answer:
    """`score`: probability of fake, None where the file could not be read; `why`: then the reason, or that of a doubt.

    `note`: what was done to a photo that is far from square or from the detector's size. `picture`: data URI of what the
    detector sees, the heat map beside it.
    """

    name: str
    verdict: str
    score: float | None
    why: str
    note: str = ""
    picture: str = ""


def answers(predictor: Predictor, files: Sequence[tuple[str, bytes]]) -> list[Answer]:
    """One answer a file, in order; whatever the bytes are.

    Args:
        files: names, as the sender chose them, and contents.
    """
    size = predictor.card["image_size"]

    def read(data: bytes) -> list[Any]:
        return [decode_bytes(data, size, MAX_MEGAPIXELS)]

    def answer(name: str, one: Prediction) -> Answer:
        if one.problem:
            return Answer(name, "", None, one.problem)
        note = "".join(size_notes(one.square.width, one.square.height, size)[:1])  # the rest is about the command line
        sides = heat_overlay(predictor, one.square.pixels)
        half = sides.shape[2] // 2
        picture = images_uri([sides[:, :, :half], sides[:, :, half:]], PICTURE)
        return Answer(name, one.verdict, one.score, one.reason, note, picture)

    predictions = predict_images(predictor, (data for _, data in files), read, BAND)
    return [answer(printable(name), one) for (name, _), (one,) in zip(files, predictions, strict=True)]
