"""One pass over the stored pixels: small features of each image, and the mean spectrum and mean residual of each class."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

from fakeface.split.pairs import perceptual_hash

BATCH = 32  # images in memory at once
THUMBNAIL = 8  # pixels a side
GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow's mode L


@dataclass(frozen=True)
class Pictures:
    """Of each image: `hashes` uint64 [N]. Of those in `rows`, int64 [M], ascending: `colour` float32 [M, 3] (0 to 255),
    `thumbnail` float32 [M, 192] (0 to 255), `radial` float32 [M, S // 2 + 1] (log10 of the mean power over a ring, by distance
    from frequency 0 in cycles an image; Durall et al. 2020, arXiv:2003.01826).

    Of each class (0 real, 1 fake): `spectrum` float64 [2, S, S] (mean log10 power, frequency 0 in the middle), `residual`
    float64 [2, S - 2, S - 2] (mean of grey less its 3x3 median, in 8-bit levels).
    """

    rows: np.ndarray
    hashes: np.ndarray
    colour: np.ndarray
    thumbnail: np.ndarray
    radial: np.ndarray
    spectrum: np.ndarray
    residual: np.ndarray


def look(pixels: Any, labels: np.ndarray, kept: np.ndarray, shown: Any = None) -> Pictures:
    """Reads every row once, `BATCH` at a time; what it keeps of an image is small.

    Args:
        pixels: uint8 [N, 3, S, S], an array or a `store.PixelFile`.
        labels: int [N], 0 real, 1 fake.
        kept: int64 [M], ascending, the rows whose features are kept.
        shown: of the same shape, the pictures to hash where not `pixels` (`Dataset.shown`).
    """
    n, size = len(labels), pixels.shape[-1]
    half = size // 2 + 1
    hashes = np.empty(n, dtype=np.uint64)
    colour, thumbnail, radial = (np.empty((len(kept), width), np.float32) for width in (3, 3 * THUMBNAIL**2, half))
    spectrum, residual = np.zeros((2, size, half)), np.zeros((2, size - 2, size - 2))
    rings = Rings(size)
    for start in range(0, n, BATCH):
        rows = slice(start, min(start + BATCH, n))
        images, classes = pixels[rows], labels[rows]
        places = slice(*np.searchsorted(kept, [rows.start, rows.stop]).tolist())
        here = kept[places] - start
        hashes[rows] = [perceptual_hash(image) for image in (images if shown is None else shown[rows])]
        colour[places] = images[here].mean((2, 3), dtype=np.float32)
        for place, row in enumerate(here, places.start):
            thumbnail[place] = _thumbnail(images[row])
        grey = np.einsum("nchw,c->nhw", images, GREY)
        power = power_spectrum(grey)
        radial[places] = np.log10(rings.mean(power[here]) + 1)
        np.log10(power + 1, out=power)
        rest = median_residual(np.rint(grey).astype(np.uint8))
        for c in (0, 1):
            spectrum[c] += power[classes == c].sum(0, dtype=np.float64)
            residual[c] += rest[classes == c].sum(0, dtype=np.float64)
    counts = np.maximum(np.bincount(labels, minlength=2), 1)[:, None, None]
    return Pictures(kept, hashes, colour, thumbnail, radial, whole_plane(spectrum / counts), residual / counts)


def _thumbnail(image: np.ndarray) -> np.ndarray:
    small = Image.fromarray(image.transpose(1, 2, 0)).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32).ravel()


def power_spectrum(grey: np.ndarray) -> np.ndarray:
    """float32 [n, S, S] -> power of each frequency, float32 [n, S, S // 2 + 1] (numpy's `rfft2` layout).

    The mean is taken off and a Hann window laid over, so that the borders of the picture do not show as a cross.
    """
    size = grey.shape[-1]
    window = np.outer(np.hanning(size), np.hanning(size)).astype(np.float32)
    waves = np.fft.rfft2((grey - grey.mean((1, 2), keepdims=True)) * window)
    return np.asarray(waves.real**2 + waves.imag**2, dtype=np.float32)


def whole_plane(half: np.ndarray) -> np.ndarray:
    """[n, S, S // 2 + 1] in `rfft2` layout -> [n, S, S] with frequency 0 in the middle; the other half is a mirror image."""
    size = half.shape[1]
    mirrored = half[:, -np.arange(size), 1 : (size + 1) // 2][:, :, ::-1]
    return np.fft.fftshift(np.concatenate([half, mirrored], axis=2), axes=(1, 2))


class Rings:
    """Means over rings of equal distance from frequency 0, for images of `size` pixels."""

    def __init__(self, size: int) -> None:
        y, x = np.fft.fftfreq(size, 1 / size)[:, None], np.arange(size // 2 + 1)[None]
        ring = np.rint(np.hypot(y, x)).astype(np.int64).ravel()
        self._order = np.argsort(ring, kind="stable")[: int((ring <= size // 2).sum())]
        self._starts = np.searchsorted(ring[self._order], np.arange(size // 2 + 1))
        self._counts = np.bincount(ring[self._order])

    def mean(self, half: np.ndarray) -> np.ndarray:
        """[n, S, S // 2 + 1] in `rfft2` layout -> float32 [n, S // 2 + 1], one value a whole frequency."""
        flat = half.reshape(len(half), half.shape[1] * half.shape[2])[:, self._order]
        return np.asarray(np.add.reduceat(flat, self._starts, axis=1) / self._counts, dtype=np.float32)


def median_residual(grey: np.ndarray) -> np.ndarray:
    """uint8 [n, S, S] -> int16 [n, S - 2, S - 2]: each pixel less the median of its 3x3 neighbours.

    The median keeps edges, so that the face goes and the pattern of camera or generator stays (the residual of Marra et al.
    2019, arXiv:1812.11842, with a simpler denoiser).
    """
    medians = np.stack([cv2.medianBlur(image, 3) for image in grey])
    return (grey.astype(np.int16) - medians)[:, 1:-1, 1:-1]
