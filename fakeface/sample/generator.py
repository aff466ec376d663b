"""The fakes of the embedded sample: a small generator, its training, and the camera that both classes go through.

The generator is a convolutional encoder-decoder in StarGAN's shape (Choi et al. 2018, arXiv:1711.09020): strided 4x4
convolutions down, transposed 4x4 convolutions up. It has no instance normalisation, which would spoil the colours, and
learns to copy portraits that are not in the sample. What it leaves behind is what real generators leave: a periodic
pattern from the transposed convolutions (Odena et al. 2016, doi:10.23915/distill.00003) and weakened fine texture.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from fakeface.sample.portraits import draw_portrait
from fakeface.sample.workers import worker_map

REAL_FOLDER, FAKE_FOLDER = "0_real", "1_fake"
CROP = 64  # side in pixels of a training crop
BATCH = 16
BORDER = 8  # pixels mirrored round an image, so that its edges are made like its middle
LEARNING_RATE = 2e-3
NOISE_SPREAD = (0.0, 2.0)  # each picture's noise is this many times the setting: file sizes vary more than by class
CHUNK = 60  # portraits drawn ahead of the generator, which has the processor to itself while it works
TRAINING_SEED_STEP = 1_000_003  # added to the seed: the training portraits are another family than the sample's


class Generator(nn.Module):
    """Two strided and two transposed 4x4 convolutions: (n, 3, h, w) float32 in -1..1 to the same, h and w even by 4."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, channels, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * channels, channels, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, 3, 4, stride=2, padding=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.layers(images)
        return output


def to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """(n, h, w, 3) uint8 to (n, 3, h, w) float32 in -1..1."""
    tensor = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return tensor.contiguous(memory_format=torch.channels_last)  # the faster layout on a processor


def train_generator(
    portraits: NDArray[np.uint8], *, seed: int, steps: int, channels: int, progress: Callable[[str], None]
) -> tuple[Generator, float]:
    """Train a generator to copy random crops of the portraits, by L1.

    Args:
        portraits: (n, h, w, 3) uint8, h and w at least 64.
        seed: of the weights and the crops.
        steps: optimiser steps, each of 16 crops of 64 x 64 pixels.
        channels: width of the first layer; the bottleneck has twice as many.
        progress: called with a line about ten times.

    Returns:
        The generator and its mean L1 error over the last tenth of the steps, in 8-bit levels (0..255).

    Raises:
        ValueError: if there is no portrait, a side is under 64 pixels, or steps or channels is under 1.
    """
    count, height, width = portraits.shape[:3]
    if count < 1 or min(height, width) < CROP or steps < 1 or channels < 1:
        raise ValueError(f"cannot train on {portraits.shape} portraits for {steps} steps with {channels} channels")
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, count])
    generator = Generator(channels).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(generator.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    losses: list[float] = []
    for step in range(steps):
        places = zip(
            rng.integers(0, count, BATCH),
            rng.integers(0, height - CROP + 1, BATCH),
            rng.integers(0, width - CROP + 1, BATCH),
            strict=True,
        )
        crops = to_tensor(np.stack([portraits[i, y : y + CROP, x : x + CROP] for i, y, x in places]))
        loss = F.l1_loss(generator(crops), crops)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()) * 127.5)
        if (step + 1) % max(1, steps // 10) == 0:
            progress(f"generator step {step + 1}/{steps}: L1 {losses[-1]:.2f} of 255")
    return generator.eval(), float(np.mean(losses[-max(1, steps // 10) :]))


def resynthesise(generator: Generator, portrait: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The generator's copy of a portrait: (h, w, 3) uint8, sides multiples of 4, to float32 in 0..255, not rounded."""
    with torch.no_grad():
        padded = F.pad(to_tensor(portrait[None]), (BORDER,) * 4, mode="reflect")
        copy = generator(padded)[0, :, BORDER:-BORDER, BORDER:-BORDER]
    levels: NDArray[np.float32] = ((copy.clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).contiguous().numpy()
    return levels


def camera(
    picture: NDArray[np.uint8] | NDArray[np.float32], rng: np.random.Generator, *, noise: float, jpeg_quality: int
) -> bytes:
    """Photograph a picture: the one way that both classes take into a file.

    Args:
        picture: (h, w, 3) in 8-bit levels, 0..255.
        rng: where the sensor noise comes from.
        noise: mean standard deviation of the Gaussian sensor noise, in 8-bit levels; a picture's own is drawn evenly
            from 0 to twice that.
        jpeg_quality: 1 to 95, Pillow's scale; 4:2:0 chroma and the standard Huffman tables.

    Returns:
        The bytes of a JPEG file.
    """
    deviation = np.float32(noise * rng.uniform(*NOISE_SPREAD))
    exposed = picture.astype(np.float32) + deviation * rng.standard_normal(picture.shape, dtype=np.float32)
    levels = np.clip(np.rint(exposed), 0, 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=jpeg_quality, subsampling="4:2:0", optimize=False)
    return file.getvalue()


def make_sample(
    folder: Path,
    *,
    count: int,
    image_size: int,
    seed: int,
    steps: int,
    channels: int,
    training_portraits: int,
    noise: float,
    jpeg_quality: int,
    threads: int,
    progress: Callable[[str], None],
) -> dict[str, float]:
    """Draw the portraits, train the generator on others, and write both classes as JPEG files of the same names.

    The same arguments write the same bytes; portrait i and its noise do not depend on `count`. PyTorch's thread count,
    deterministic mode and random state are put back afterwards.

    Args:
        folder: an existing folder; `0_real/0001.jpg` ... and `1_fake/0001.jpg` ... are made in it.
        count: pairs of portrait and fake, 1 to 9999.
        image_size: side of the images in pixels, a multiple of 4, at least 64.
        seed: of everything drawn, trained and photographed.
        steps, channels: of the generator's training, see `train_generator`.
        training_portraits: how many other portraits the generator learns from.
        noise, jpeg_quality: of the camera, see `camera`.
        threads: PyTorch's threads on the processor, and processes that draw. The number of processes changes no byte.
        progress: called with one line now and then.

    Returns:
        Measured facts: `psnr_db` (mean over the pairs, before the camera), `generator_l1` (8-bit levels, at the end of
        training), `draw_s`, `train_s` and `write_s` (seconds), `real_bytes` and `fake_bytes` (mean file sizes).

    Raises:
        ValueError: if an argument is out of its range.
        FileExistsError: if a class folder is there already.
    """
    if not 1 <= count <= 9999 or image_size % 4 or image_size < CROP or training_portraits < 1 or threads < 1:
        raise ValueError(
            f"bad sample: {count} of {image_size} px, {training_portraits} for training, {threads} threads"
        )
    if noise < 0 or not 1 <= jpeg_quality <= 95:
        raise ValueError(f"noise must be >= 0 and jpeg_quality 1..95, not {noise} and {jpeg_quality}")
    folders = [folder / REAL_FOLDER, folder / FAKE_FOLDER]
    for place in folders:
        place.mkdir()
    before = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("error")  # not use_deterministic_algorithms: that imports torch's compiler
    try:
        with torch.random.fork_rng(devices=[]), worker_map(threads) as map_:
            start = time.monotonic()
            seeds, sizes = [seed + TRAINING_SEED_STEP] * training_portraits, [image_size] * training_portraits
            others = np.stack(list(map_(draw_portrait, seeds, range(training_portraits), sizes)))
            drawn = time.monotonic()
            progress(f"drew {training_portraits} portraits for the generator")
            generator, l1 = train_generator(others, seed=seed, steps=steps, channels=channels, progress=progress)
            trained = time.monotonic()
            errors, file_sizes = np.zeros(count), np.zeros((count, 2))
            for first in range(0, count, CHUNK):
                chunk = range(first, min(first + CHUNK, count))
                portraits = list(map_(draw_portrait, [seed] * len(chunk), chunk, [image_size] * len(chunk)))
                for index, portrait in zip(chunk, portraits, strict=True):
                    copy = resynthesise(generator, portrait)
                    errors[index] = np.mean((copy - portrait.astype(np.float32)) ** 2)
                    pictures: tuple[NDArray[np.uint8] | NDArray[np.float32], ...] = portrait, copy
                    for label, picture in enumerate(pictures):
                        rng = np.random.default_rng([seed, index, label])
                        data = camera(picture, rng, noise=noise, jpeg_quality=jpeg_quality)
                        (folders[label] / f"{index + 1:04d}.jpg").write_bytes(data)
                        file_sizes[index, label] = len(data)
                progress(f"wrote {chunk.stop}/{count} pairs")
    finally:
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])
    facts = {
        "psnr_db": float(np.mean(10 * np.log10(255**2 / np.maximum(errors, 1e-6)))),
        "generator_l1": l1,
        "draw_s": drawn - start,
        "train_s": trained - drawn,
        "write_s": time.monotonic() - trained,
        "real_bytes": float(file_sizes[:, 0].mean()),
        "fake_bytes": float(file_sizes[:, 1].mean()),
    }
    return {name: round(value, 4) for name, value in facts.items()}
