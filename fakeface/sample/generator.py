"""The fakes of the embedded sample: a small generator, and the camera that both classes go through.

The generator is a convolutional encoder-decoder in StarGAN's shape (Choi et al. 2018, arXiv:1711.09020): strided 4x4
convolutions down, transposed 4x4 convolutions up. It has no instance normalisation, which would spoil the colours, and
has learnt to copy portraits that are not in the sample (`benchmarks/make_generator.py`). What it leaves behind is what
real generators leave: a periodic pattern from the transposed convolutions (Odena et al. 2016, doi:10.23915/distill.00003)
and weakened fine texture.

Its weights and activations are integers and every sum stays under 2 ** 24, where float32 is exact: whatever order a
processor adds in, the copy has the same bits.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fakeface.core.progress import progress
from fakeface.sample.painting import bell
from fakeface.sample.portraits import draw_portrait

Array = NDArray[np.float32]

WEIGHTS = Path(__file__).with_name("generator.npz")
REAL_FOLDER, FAKE_FOLDER = "0_real", "1_fake"
BORDER = 7  # pixels mirrored round a portrait: the convolutions take them away again, but for one
LEVELS = 255  # the highest activation
NOISE = 7.0  # the camera's mean standard deviation, in 8-bit levels; each picture's own is 0 to 2 times that
QUALITY = 85  # of the camera's JPEG, Pillow's scale


class Generator:
    """Copies portraits. Each layer has weight int8 (in, out), bias int32 (out) and scale float32 (out)."""

    def __init__(self) -> None:
        with np.load(WEIGHTS) as file:
            parts = [file[f"{layer}.{name}"] for layer in range(4) for name in ("weight", "bias", "scale")]
        floats = [part.astype(np.float32) for part in parts]
        self.layers = list(zip(floats[0::3], floats[1::3], floats[2::3], strict=True))

    def __call__(self, portrait: NDArray[np.uint8]) -> Array:
        """(h, w, 3) uint8, sides multiples of 4, to the copy (h, w, 3) float32 in 0..255, not rounded."""
        down1, down2, up1, up2 = self.layers
        x = np.pad(portrait, ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), "reflect").astype(np.float32)
        x = np.rint(convolve(space_to_depth(x), *down1))
        x = np.rint(convolve(space_to_depth(x), *down2))
        x = np.rint(depth_to_space(convolve(x, *up1)))
        x = depth_to_space(convolve(x, *up2))
        return x[1:-1, 1:-1]


def space_to_depth(x: Array) -> Array:
    """(h, w, c) to (h / 2, w / 2, 4 c): each 2x2 block becomes one pixel."""
    h, w, c = x.shape
    return x.reshape(h // 2, 2, w // 2, 2, c).transpose(0, 2, 1, 3, 4).reshape(h // 2, w // 2, 4 * c)


def depth_to_space(x: Array) -> Array:
    """(h, w, 4 c) to (2 h, 2 w, c)."""
    h, w, c = x.shape
    return x.reshape(h, w, 2, 2, c // 4).transpose(0, 2, 1, 3, 4).reshape(2 * h, 2 * w, c // 4)


def convolve(x: Array, weight: Array, bias: Array, scale: Array) -> Array:
    """A 2x2 convolution and its activation: (h, w, c) to (h - 1, w - 1, out) in 0..255.

    On blocks of pixels it is a strided 4x4 convolution; where its outputs are blocks, it is a transposed one.
    """
    h, w = x.shape[0] - 1, x.shape[1] - 1
    patches = np.concatenate([x[:-1, :-1], x[:-1, 1:], x[1:, :-1], x[1:, 1:]], axis=2)
    sums = patches.reshape(h * w, -1) @ weight
    return np.clip((sums + bias) * scale, 0, LEVELS).reshape(h, w, -1)


def camera(picture: NDArray[np.uint8] | Array, rng: np.random.Generator) -> bytes:
    """Photograph a picture, (h, w, 3) in 0..255, with noise from `rng`: the one way that both classes take into a file.

    Returns:
        The bytes of a JPEG file with 4:2:0 chroma and the standard Huffman tables.
    """
    deviation = np.float32(2 * NOISE * rng.random())  # a random one: file sizes then vary more than by class
    exposed = picture.astype(np.float32) + deviation * bell(rng, *picture.shape)
    levels = np.clip(np.rint(exposed), 0, 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=QUALITY, subsampling="4:2:0", optimize=False)
    return file.getvalue()


def make_sample(folder: Path, *, count: int, threads: int) -> None:
    """Draw the portraits, copy each with the generator, and write both classes as JPEG files of the same names.

    The files are the same bytes on every processor; portrait i and its noise do not depend on `count`.

    Args:
        folder: an existing folder; `0_real/0001.jpg` ... and `1_fake/0001.jpg` ... are made in it.
        count: pairs of portrait and fake, 1 to 9999.
        threads: that draw at once; they change no byte.

    Raises:
        FileExistsError: if a class folder is there already.
    """
    generator = Generator()
    for name in (REAL_FOLDER, FAKE_FOLDER):
        (folder / name).mkdir()

    def make_pair(index: int) -> None:
        portrait = draw_portrait(index)
        pictures: dict[str, NDArray[np.uint8] | Array] = {REAL_FOLDER: portrait, FAKE_FOLDER: generator(portrait)}
        for label, (name, picture) in enumerate(pictures.items(), start=1):
            data = camera(picture, np.random.default_rng([index, label]))  # label 0 drew the portrait
            (folder / name / f"{index + 1:04d}.jpg").write_bytes(data)

    with ThreadPoolExecutor(threads) as pool:
        list(progress(pool.map(make_pair, range(count)), count, "sample", "pair"))
