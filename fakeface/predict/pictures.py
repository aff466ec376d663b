"""Pictures for the verdicts: where a detector found its evidence, and which faces were scored."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fakeface.core.files import whole
from fakeface.detector.predictor import Predictor
from fakeface.explain.gradcam import crops, heat_maps, overlay
from fakeface.pages.render import CLASS_COLOURS

LONGEST = 1600  # pixels of the photo with its boxes
QUALITY = 92  # of the JPEG


def heat_overlay(predictor: Predictor, pixels: np.ndarray) -> np.ndarray:
    """What the network sees of an image, and next to it the same with its evidence laid over it: uint8 [3, crop, 2 * crop].

    The evidence has a scale of its own: the strongest of this image has the fullest colour.

    Args:
        pixels: uint8 [3, S, S].
    """
    one, first = pixels[None], np.zeros(1, dtype=np.int64)
    seen = crops(one, first, predictor.card["crop_size"])
    return np.concatenate([seen[0], overlay(seen, heat_maps(predictor, one, first))[0]], axis=2)


def heat_picture(predictor: Predictor, pixels: np.ndarray, path: Path) -> None:
    """Saves `heat_overlay` as JPEG."""
    _save(Image.fromarray(heat_overlay(predictor, pixels).transpose(1, 2, 0)), path)


def boxes_picture(photo: Image.Image, predictions: Sequence[Any], path: Path) -> None:
    """Saves the photo as JPEG, made smaller where it is large, with a box around each face, its number, verdict and score."""
    scale = min(1.0, LONGEST / max(photo.size))
    shown = photo.copy()
    shown.thumbnail((LONGEST, LONGEST), reducing_gap=None)
    draw = ImageDraw.Draw(shown)
    line = max(2, round(max(shown.size) / 400))
    font = ImageFont.load_default(size=max(12, round(max(shown.size) / 60)))
    for face, one in enumerate(predictions, 1):
        colour = CLASS_COLOURS.get(one.verdict, "#666666")
        left, top, right, bottom = (side * scale for side in one.square.box)
        draw.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=line)
        words = f"{face} {one.verdict} {one.score:.2f}"
        place = draw.textbbox((left, top), words, font=font)
        draw.rectangle((place[0], place[1], place[2] + 2 * line, place[3] + 2 * line), fill=colour)
        draw.text((left + line, top + line), words, font=font, fill="white")
    _save(shown, path)


def _save(image: Image.Image, path: Path) -> None:
    with whole(path) as partial:
        image.save(partial, "JPEG", quality=QUALITY)
