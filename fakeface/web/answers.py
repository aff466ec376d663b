"""From uploaded files to what the page says of each: verdict, score, the picture beside its heat map, and a table to download."""

import base64
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fakeface.data.images import decode_bytes
from fakeface.evaluation import gradcam
from fakeface.evaluation.explain_page import overlay
from fakeface.evaluation.incoming import BAND, MAX_MEGAPIXELS, UNSURE, Judged, judge_each, read_bytes
from fakeface.evaluation.page import images_uri
from fakeface.evaluation.predictor import Predictor
from fakeface.verdict.names import printable

PICTURE = 224  # pixels, height of a picture on the page
SAYS = {"fake": "looks computer-made", "real": "looks real", "unsure": "unsure", "": "not judged"}


@dataclass(frozen=True)
class Answer:
    """`score`: probability of fake, None where there is a problem; `picture`: data URI of crop and heat map side by side.

    `why`: a half sentence, why it is unsure or could not be judged.
    """

    name: str
    verdict: str
    score: float | None
    why: str
    picture: str

    @property
    def says(self) -> str:
        return SAYS[self.verdict]


def answers(predictor: Predictor, files: Sequence[tuple[str, bytes]]) -> list[Answer]:
    """One answer a file, in order; whatever the bytes are.

    Args:
        files: names, as the sender chose them, and contents.
    """
    size, crop_size = predictor.card["image_size"], predictor.card["crop_size"]

    def read(data: bytes) -> list[Any]:
        return [decode_bytes(read_bytes(data, None), size, MAX_MEGAPIXELS)]

    judged = [one for found in judge_each(predictor, (data for _, data in files), read, careful=True) for one in found]
    squares = [one.square.pixels for one in judged if not one.problem]
    pictures: Iterator[str] = iter(())
    if squares:
        pixels, rows = np.stack(squares), np.arange(len(squares))
        crops = gradcam.crops(pixels, rows, crop_size)
        overlays = overlay(crops, gradcam.heat_maps(predictor, pixels, rows))
        pictures = (images_uri([crop, over], PICTURE) for crop, over in zip(crops, overlays, strict=True))
    return [
        Answer(printable(name), "", None, one.problem, "")
        if one.problem
        else Answer(printable(name), one.verdict, one.score, _why(one, predictor.card["threshold"]), next(pictures))
        for (name, _), one in zip(files, judged, strict=True)
    ]


def _why(one: Judged, threshold: float) -> str:
    if one.verdict != UNSURE:
        return ""
    if abs(one.score - threshold) < BAND:
        return "it lies close to the threshold"
    return "but the verdict changes when the photo is mirrored, saved again as JPEG or scaled"


def table_uri(found: Sequence[Answer]) -> str:
    """The answers as CSV (name, score, verdict, why) in a data URI, so that the server need not remember them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "score", "verdict", "why"])
    for one in found:
        score = "" if one.score is None else f"{one.score:.6f}"
        # a spreadsheet would compute a name that begins so, and names come from strangers
        name = f"'{one.name}" if one.name[:1] in ("=", "+", "-", "@") else one.name
        writer.writerow([name, score, one.verdict, one.why])
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(text.getvalue().encode()).decode()}"
