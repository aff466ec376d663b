"""What `augment: robust` does to whole images before they are cropped, as the web does.

It begins with "Blur+JPEG (0.5)" of Wang, Wang, Zhang, Owens, Efros: CNN-generated images are surprisingly easy to spot... for
now, CVPR 2020 (https://github.com/PeterWang512/CNNDetection, data/datasets.py): the whole image is blurred and saved as JPEG,
each with probability 0.5, and then cropped and flipped. Added to it: a third of the softened images are scaled down and up
instead, a third of the saved ones are WebP, and some get noise between the two. Two more differences: JPEG is Pillow's alone, not
OpenCV's every other time, and the blur is rounded once, not cut off to whole levels after rows and after columns.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fakeface.images import degrade

SOFT_PROBABILITY, BLUR_SIGMA, SMALLEST = 0.5, 3.0, 0.25  # sigma in pixels, uniform in 0..3; factor uniform in 0.25..1
NOISE_PROBABILITY, NOISE_SIGMA = 0.3, 15.0  # of 255, uniform in 0..15
SAVE_PROBABILITY, QUALITY = 0.5, (30, 100)  # of JPEG and WebP; uniform, both ends included
OTHER = 1 / 3  # of the softened are scaled, not blurred; of the saved are WebP, not JPEG


class Degradations(NamedTuple):
    """What each of n images goes through, in this order; 0 leaves a step out. On the CPU."""

    factor: Tensor  # float32 [n], scaled to this part of its sides and back
    sigma: Tensor  # float32 [n], of the blur, in pixels
    noise: Tensor  # float32 [n], sigma of 255
    jpeg: Tensor  # int64 [n], quality
    webp: Tensor  # int64 [n], quality
    seed: Tensor  # int64 [n], of the noise


def degradations_for(augment: str, n: int, generator: torch.Generator) -> Degradations | None:
    """One epoch's; None unless `robust`, and then nothing is drawn."""
    if augment != "robust":
        return None
    softened, noisy, saved, other_soft, other_saved, strength = torch.rand(6, n, generator=generator)
    quality = torch.randint(QUALITY[0], QUALITY[1] + 1, (n,), generator=generator)
    noise = NOISE_SIGMA * torch.rand(n, generator=generator) * (noisy < NOISE_PROBABILITY)
    soft, scaled = softened < SOFT_PROBABILITY, other_soft < OTHER
    save, webp = saved < SAVE_PROBABILITY, other_saved < OTHER
    return Degradations(
        factor=(SMALLEST + (1 - SMALLEST) * strength) * (soft & scaled),
        sigma=BLUR_SIGMA * strength * (soft & ~scaled),
        noise=noise,
        jpeg=quality * (save & ~webp),
        webp=quality * (save & webp),
        seed=torch.randint(2**62, (n,), generator=generator),
    )


def degraded(pixels: Tensor, what: Degradations, rows: Tensor, threads: int) -> Tensor:
    """Each image after its own steps, whole grey levels after each as in a file.

    On the CPU: pixels on a GPU are copied to the host and back.

    Args:
        pixels: uint8 [B, 3, S, S], whole images.
        rows: int64 [B], which of `what` they are.
        threads: that share the images; no influence on the result.
    """
    drawn = [of_all[rows].tolist() for of_all in what]

    def change(i: int, image: np.ndarray) -> np.ndarray:
        factor, sigma, noise, jpeg, webp, seed = (values[i] for values in drawn)
        if factor:
            image = degrade.resize(image, factor)
        if sigma:
            image = degrade.blur(image, sigma)
        if noise:
            image = degrade.noise(image, noise, np.random.default_rng(seed))
        if jpeg:
            image = degrade.jpeg(image, jpeg)
        return degrade.webp(image, webp) if webp else image

    return torch.from_numpy(degrade.each(pixels.cpu().numpy(), change, threads)).to(pixels.device)
