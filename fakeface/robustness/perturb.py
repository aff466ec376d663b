"""A cell of the protocol, done to images: the same image and cell give the same pixels, whatever stands beside it."""

import zlib
from collections.abc import Sequence

import numpy as np

from fakeface.core.perturbations import Cell
from fakeface.images import degrade


def perturb(pixels: np.ndarray, cell: Cell, keys: Sequence[str], seed: int, threads: int = 1) -> np.ndarray:
    """All images of both classes through one cell.

    Args:
        pixels: uint8 [N, 3, S, S], whole images as they lie in the store, before any crop.
        keys: a name for each image, such as its sha256: with `seed` and the cell it fixes the noise.

    Returns:
        uint8 [N, 3, S, S].
    """

    def change(i: int, image: np.ndarray) -> np.ndarray:
        for kind, strength in cell.steps:
            if kind == "jpeg":
                image = degrade.jpeg(image, int(strength))
            elif kind == "blur":
                image = degrade.blur(image, strength)
            elif kind == "resize":
                image = degrade.resize(image, strength)
            elif kind == "noise":
                stream = [seed, *(zlib.crc32(name.encode()) for name in (cell.name, keys[i]))]
                image = degrade.noise(image, strength, np.random.default_rng(stream))
            else:
                raise ValueError(f"{cell.name}: no perturbation {kind}")
        return image

    return degrade.each(pixels, change, threads)
