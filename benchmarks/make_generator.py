"""Train the embedded sample's generator and write its weights, rounded to integers: fakeface/sample/generator.npz.

    python benchmarks/make_generator.py       # seed 1, 2026-11-26, two cores of an Intel Xeon (family 6, model 167)

Run it only to make another generator: other weights make another sample, and another processor makes other weights.
They were trained by L1 on random crops of 100 portraits that are in no sample, 700 steps, Adam.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fakeface.sample.generator import LEVELS, WEIGHTS, Generator
from fakeface.sample.portraits import draw_portrait

SEED, THREADS = 1, 1
PORTRAITS = range(10_000, 10_100)  # a sample has at most 9999
STEPS, BATCH, CROP, CHANNELS = 700, 16, 64, 48
LEARNING_RATE = 2e-3
Layers = list[nn.Conv2d | nn.ConvTranspose2d]


def main() -> None:
    torch.manual_seed(SEED)
    torch.set_num_threads(THREADS)
    with ThreadPoolExecutor(2) as pool:
        portraits = np.stack(list(pool.map(draw_portrait, PORTRAITS)))
    layers = train(portraits)
    np.savez_compressed(WEIGHTS, allow_pickle=False, **rounded(layers, as_tensor(portraits)))
    generator = Generator()
    exact = [np.mean((generator(portrait) - portrait) ** 2) for portrait in portraits]
    with torch.no_grad():
        copies = [apply(layers, as_tensor(portrait[None])) for portrait in portraits]
    floats = [np.mean((copy[0].permute(1, 2, 0).numpy().clip(-1, 1) * 127.5 + 127.5 - portrait)[8:-8, 8:-8] ** 2)
              for copy, portrait in zip(copies, portraits, strict=True)]  # fmt: skip
    for name, errors in (("floats", floats), ("integers", exact)):
        print(f"{name}: {np.mean(10 * np.log10(255**2 / np.array(errors))):.2f} dB")


def as_tensor(portraits: np.ndarray) -> Tensor:
    return torch.from_numpy(portraits).permute(0, 3, 1, 2).float() / 127.5 - 1


def apply(layers: Layers, images: Tensor, upto: int = 4) -> Tensor:
    for number, layer in enumerate(layers[:upto]):
        images = layer(images) if number == 3 else F.relu(layer(images))
    return images


def new_layers(channels: int) -> Layers:
    return [
        nn.Conv2d(3, channels, 4, 2, 1),
        nn.Conv2d(channels, 2 * channels, 4, 2, 1),
        nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1),
        nn.ConvTranspose2d(channels, 3, 4, 2, 1),
    ]


def train(portraits: np.ndarray) -> Layers:
    layers = new_layers(CHANNELS)
    rng = np.random.default_rng(SEED)
    optimiser = torch.optim.Adam(
        [p for layer in layers for p in layer.parameters()], lr=LEARNING_RATE, betas=(0.9, 0.99)
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for step in range(STEPS):
        places = zip(rng.integers(0, len(portraits), BATCH), *rng.integers(0, 256 - CROP + 1, (2, BATCH)), strict=True)
        crops = as_tensor(np.stack([portraits[i, y : y + CROP, x : x + CROP] for i, y, x in places]))
        loss = F.l1_loss(apply(layers, crops), crops)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % 70 == 0:
            print(f"step {step + 1}/{STEPS}: L1 {loss.item() * 127.5:.2f} of 255", flush=True)
    return layers


def rounded(layers: Layers, images: Tensor) -> dict[str, np.ndarray]:
    """Each channel's activations go to 0..LEVELS, 0 to its largest on the portraits; each column of weights to -127..127.

    A column is an output channel of the 2x2 convolution that `fakeface.sample.generator.convolve` applies.
    """
    arrays: dict[str, np.ndarray] = {}
    step = np.full(3, 1 / 127.5)  # value of one level of each input channel, and the value of level 0
    zero = -1.0
    for number, layer in enumerate(layers):
        weight = layer.weight.detach().double().numpy()
        assert layer.bias is not None
        bias = layer.bias.detach().double().numpy()
        if number < 2:  # (out, in, 4, 4): row 2 a + b is in block a, place b
            out, inputs = weight.shape[:2]
            matrix = weight.reshape(out, inputs, 2, 2, 2, 2).transpose(2, 4, 3, 5, 1, 0).reshape(-1, out)
            steps = np.tile(step, 16)
        else:  # (in, out, 4, 4): row 2 - 2 a + b takes block a to place b
            inputs, out = weight.shape[:2]
            blocks = weight[:, :, [[2, 3], [0, 1]]][:, :, :, :, [[2, 3], [0, 1]]]  # (in, out, a, b, a', b')
            matrix = blocks.transpose(2, 4, 0, 3, 5, 1).reshape(4 * inputs, 4 * out)
            steps, bias = np.tile(step, 4), np.tile(bias, 4)
        bias = bias + zero * matrix.sum(axis=0)
        if number < 3:
            with torch.no_grad():
                most = torch.stack([apply(layers, image[None], number + 1).amax((0, 2, 3)) for image in images]).amax(0)
            step, zero = most.double().clamp(min=1e-6).numpy() / LEVELS, 0.0
        else:
            step, bias = np.full(3, 1 / 127.5), bias + 1
        matrix = matrix * steps[:, None]
        unit = np.abs(matrix).max(axis=0) / 127
        arrays[f"{number}.weight"] = np.rint(matrix / unit).astype(np.int8)
        arrays[f"{number}.bias"] = np.rint(bias / unit).astype(np.int32)
        arrays[f"{number}.scale"] = (unit / np.tile(step, matrix.shape[1] // out)).astype(np.float32)
    return arrays


if __name__ == "__main__":
    main()
