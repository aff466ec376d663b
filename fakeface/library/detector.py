"""A trained detector for programs: images in, a table of verdicts or a heat map out."""

import io
import warnings
from collections.abc import Iterable, Iterator
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from fakeface.core.errors import UserError, one_line
from fakeface.images.decode import BadImage, read_file
from fakeface.images.faces import trained_on_faces
from fakeface.predict.detector import max_megapixels, open_detector
from fakeface.predict.facts import warning_of
from fakeface.predict.names import Entry, entries
from fakeface.predict.squares import BAND, squares_of
from fakeface.predict.tables import FACE_COLUMNS, rows_of

if TYPE_CHECKING:
    import pandas as pd

    from fakeface.detector.predictor import Predictor

# A path of a file or of a folder, the bytes of an image file, a Pillow image, or uint8 [H, W, 3] RGB
Picture = str | PathLike[str] | bytes | Image.Image | np.ndarray
ONE = (str, PathLike, bytes, Image.Image, np.ndarray)

__all__ = ["Detector", "UserError", "load_detector"]


def load_detector(model: str | PathLike[str] | None = None) -> "Detector":
    """Loads a detector; nothing from its checkpoint is run.

    Args:
        model: `scratch`, `extractor` or `finetune` (in `models/` of the working folder), the path of a checkpoint folder, or a
            registered model such as `models:/fakeface@champion`; None: the best of `models/` on the validation set.

    Raises:
        UserError: there is no such detector, or its checkpoint is damaged.
    """
    return Detector(open_detector(None if model is None else fspath(model)))


class Detector:
    """A trained detector, made by `load_detector`. Not to be used by several threads at once."""

    def __init__(self, predictor: "Predictor") -> None:
        self._predictor = predictor

    def __repr__(self) -> str:
        return f"<fakeface.Detector {self.card['approach']} {self.card['sha256'][:12]}>"

    @property
    def card(self) -> dict[str, Any]:
        """What the detector is, what it was trained on, and its figures on val: a copy of its card.json."""
        return dict(self._predictor.card)

    def predict(
        self, images: Picture | Iterable[Picture], *, fast: bool = False, band: float = BAND, whole: bool = False
    ) -> "pd.DataFrame":
        """A row for each image, or for each face where the detector was trained on faces, in order.

        Args:
            images: one or several; of a folder all images at any depth, by path.
            fast: say real or fake only; up to four times as fast.
            band: a score nearer than this to the threshold is `unsure`.
            whole: take each picture as it is, without looking for faces.

        Returns:
            path: as given or found; `image 0` and so on, by the place in `images`, for what has no path.
            face, left, top, right, bottom: which face, and the square that was scored, in pixels (with faces only).
            score: probability of fake, float64; NaN where nothing was scored.
            verdict: `real`, `fake`, `unsure`, or empty.
            problem: why the image could not be read, or empty; no exception is raised for it.
            note: why it is unsure, and what was done to the picture.
            says: what the file says about itself.

        Warns:
            UserWarning: the detector was trained on drawings, or is no better than guessing.

        Raises:
            UserError: an argument has a wrong value.
        """
        import pandas as pd

        from fakeface.predict.service import predict_images

        if not fast and not (isinstance(band, int | float) and 0 <= band <= 1):
            raise UserError(f"band = {band!r}: must be a number from 0 to 1")
        card = self._predictor.card
        if warning := warning_of(card):
            warnings.warn(warning, stacklevel=2)
        detect = trained_on_faces(card) and not whole
        listed = list(_listed(images))
        megapixels = max_megapixels()

        def read(one: tuple[Entry, bytes | None]) -> Any:
            entry, data = one
            if entry.problem:
                raise BadImage(entry.problem)
            return squares_of(read_file(entry.path, entry.folder) if data is None else data, card, whole, megapixels)

        found = predict_images(self._predictor, listed, read, None if fast else band)
        rows = [
            row | {"says": judged.says}
            for (entry, _), judged in zip(listed, found, strict=True)
            for row in rows_of(entry, judged, card, detect)
        ]
        columns = ["path", *(FACE_COLUMNS if detect else []), "score", "verdict", "problem", "note", "says"]
        return pd.DataFrame(rows, columns=columns).astype({"score": "float64"})

    def explain(self, image: Picture, *, whole: bool = False) -> list[Image.Image]:
        """For each face, or for the picture, what the network sees and, next to it, where it found its evidence (Grad-CAM).

        Orange is evidence for fake, blue for real. Each picture is RGB, [crop, 2 * crop] pixels; its scale is its own.

        Args:
            image: one image, no folder; whole: as in `predict`.

        Raises:
            UserError: the image cannot be read.
        """
        from fakeface.predict.pictures import heat_overlay

        listed = list(_listed(image))
        if len(listed) != 1:
            raise UserError(f"{len(listed)} images; explain takes one")
        entry, data = listed[0]
        try:
            if entry.problem:
                raise BadImage(entry.problem)
            data = read_file(entry.path, entry.folder) if data is None else data
            squares = squares_of(data, self._predictor.card, whole, max_megapixels())
        except BadImage as error:
            raise UserError(f"{entry.path}: the image {error}") from None
        overlays = [heat_overlay(self._predictor, square.pixels) for square in squares]
        return [Image.fromarray(overlay.transpose(1, 2, 0)) for overlay in overlays]


def _listed(images: Picture | Iterable[Picture]) -> Iterator[tuple[Entry, bytes | None]]:
    """Entries, and the bytes of those that are no files."""
    several: Iterable[Any] = [images] if isinstance(images, ONE) else images
    for number, image in enumerate(several):
        if isinstance(image, str | PathLike):
            for entry in entries([fspath(Path(image).expanduser()) if isinstance(image, PathLike) else image]):
                yield entry, None
        else:
            try:
                yield Entry(f"image {number}"), _bytes(image)
            except (OSError, ValueError, SyntaxError) as error:  # a file that Pillow has opened, and not yet decoded
                yield Entry(f"image {number}", problem=f"cannot be decoded ({one_line(error)})"), None


def _bytes(image: Any) -> bytes:
    """As a file's, without loss: what comes from memory goes the way of a file, with the same limits."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise UserError(f"an array of {image.dtype} {list(image.shape)}; give uint8 [H, W, 3], RGB")
        image = Image.fromarray(image)
    if not isinstance(image, Image.Image):
        raise UserError(f"{type(image).__name__}: no image; give a path, bytes, a Pillow image, or uint8 [H, W, 3]")
    image = ImageOps.exif_transpose(image)
    if image.mode in ("CMYK", "YCbCr", "HSV", "LAB", "RGBX"):  # which PNG has not
        image = image.convert("RGB")
    elif image.mode in ("RGBa", "La"):
        image = image.convert("RGBA")
    elif image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        raise UserError(f"a Pillow image of mode {image.mode}; convert it to RGB first")
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
