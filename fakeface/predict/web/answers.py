"""From uploaded files to what the page says of each: verdict, score, the picture next to its heat map."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fakeface.core.errors import printable
from fakeface.detector.predictor import Predictor
from fakeface.images.faces import Face
from fakeface.pages.render import images_uri
from fakeface.predict.pictures import heat_overlay
from fakeface.predict.service import NO_FACE, Prediction, predict_images
from fakeface.predict.squares import BAND, MAX_MEGAPIXELS, squares_of
from fakeface.predict.tables import size_notes

PICTURE = 224  # pixels, height of a picture on the page
FACES = 20  # of one photo, the largest; each takes a heat map


@dataclass(frozen=True)
class Answer:
    """`score`: probability of fake, None where the file cannot be read or shows no face; `why`: the reason, or that of a doubt.

    `note`: what was done to a photo that is far from square or from the detector's size. `picture`: data URI of what the
    detector sees, next to the heat map. `says`: what the file says about itself.
    """

    name: str
    verdict: str
    score: float | None
    why: str
    note: str = ""
    picture: str = ""
    says: str = ""


def answers(
    predictor: Predictor,
    files: Sequence[tuple[str, bytes]],
    whole: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> list[Answer]:
    """One answer a file, in order, whatever the bytes are; of several faces in a photo one each, the largest first.

    Args:
        files: names, as the sender chose them, and contents.
        whole: take pictures as they are, without looking for faces.
    """

    def read(data: bytes) -> list[Any]:
        squares = squares_of(data, predictor.card, whole, max_megapixels)
        del squares[FACES:]
        return squares

    def answer(name: str, one: Prediction, says: str) -> Answer:
        if one.problem:
            return Answer(name, "", None, one.problem)
        much_larger = {"much_larger": 1.0} if isinstance(one.square, Face) else {}
        note = "".join(size_notes(one.square.width, one.square.height, predictor.card, **much_larger))
        sides = heat_overlay(predictor, one.square.pixels)
        half = sides.shape[2] // 2
        picture = images_uri([sides[:, :, :half], sides[:, :, half:]], PICTURE)
        return Answer(name, one.verdict, one.score, one.reason, note, picture, says)

    predictions = predict_images(predictor, (data for _, data in files), read, BAND)
    found = []
    for (name, _), faces in zip(files, predictions, strict=True):
        several = f", face {{}} of {len(faces)}" if len(faces) > 1 else ""
        found += [answer(printable(name) + several.format(face), one, faces.says) for face, one in enumerate(faces, 1)]
        found += [] if faces else [Answer(printable(name), "", None, NO_FACE, says=faces.says)]
    return found
