"""A cell of the protocol, done to images: the same image and cell give the same pixels, whatever stands beside it."""

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from fakeface.core.perturbations import Cell
from fakeface.images import degrade

STEPS: dict[str, Callable[..., np.ndarray]] = {"jpeg": degrade.jpeg, "blur": degrade.blur, "resize": degrade.resize}


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
            if kind == "noise":
                stream = [seed, *(zlib.crc32(name.encode()) for name in (cell.name, keys[i]))]
                image = degrade.noise(image, strength, np.random.default_rng(stream))
            else:
                image = STEPS[kind](image, strength)
        return image

    return degrade.each(pixels, change, threads)
