"""What an image meets on its way through the web: JPEG, WebP, blur, another size, noise. One image, uint8 in and uint8 out.

Each result is rounded and clipped as a saved file would be. Pillow, SciPy and numpy release the interpreter's lock while
they compute, so `each` shares a batch among threads.
"""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from fakeface.core.cores import unbind


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Saved as JPEG and read again, in memory: libjpeg's `quality` 1..100, colour at half the resolution (4:2:0).

    Args:
        image: uint8 [3, H, W], RGB; so is what comes back, here and below.
    """
    return _saved(image, "JPEG", quality=quality, subsampling="4:2:0")


def webp(image: np.ndarray, quality: int) -> np.ndarray:
    """Saved as lossy WebP and read again, in memory: libwebp's `quality` 1..100, its fast method 2 of 0..6."""
    return _saved(image, "WEBP", quality=quality, method=2)


def _saved(image: np.ndarray, form: str, **options: Any) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(file, form, **options)
    with Image.open(file) as decoded:
        return np.asarray(decoded).transpose(2, 0, 1)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur, `sigma` in pixels, cut off at 4 sigma; the border is mirrored. 0 changes nothing."""
    from scipy.ndimage import gaussian_filter  # here: a training without blur does without

    # rounded once, at the end: with uint8 between rows and columns SciPy would cut off the fraction, twice
    return np.rint(gaussian_filter(image.astype(np.float32), (0, sigma, sigma))).astype(np.uint8)


def resize(image: np.ndarray, factor: float) -> np.ndarray:
    """Scaled to `factor` of its sides (at least a pixel) and back to its size: Pillow's bicubic, antialiased when it shrinks."""
    picture = Image.fromarray(image.transpose(1, 2, 0))
    small = picture.resize((max(1, round(picture.width * factor)), max(1, round(picture.height * factor))))
    return np.asarray(small.resize(picture.size)).transpose(2, 0, 1)


def noise(image: np.ndarray, sigma: float, generator: np.random.Generator) -> np.ndarray:
    """Gaussian noise, `sigma` of 255, independent for each pixel and channel."""
    noisy = image + np.float32(sigma) * generator.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def each(images: np.ndarray, change: Callable[[int, np.ndarray], np.ndarray], threads: int) -> np.ndarray:
    """`change(i, images[i])` of every image, in that many threads: uint8 [N, 3, H, W] -> uint8 [N, 3, H, W]."""
    changed = np.empty_like(images)

    def one(i: int) -> None:
        changed[i] = change(i, images[i])

    with ThreadPoolExecutor(threads, initializer=unbind) as pool:
        list(pool.map(one, range(len(images))))  # the list raises what a thread raised
    return changed
