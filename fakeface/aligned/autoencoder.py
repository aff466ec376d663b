"""Image autoencoders for the round trip: the TAESD family, whose weights come from the web or a folder, or a small one.

The layers are those of https://github.com/madebyollin/taesd (MIT), reimplemented: state dicts of TAEF2, TAESD and TAEF1 fit.
Weights are read as tensors only; nothing is unpickled.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fakeface.core.errors import UserError, one_line

# TAEF2, the autoencoder of FLUX.2's latent space in small: the commit that added the two files, and their digests.
ADDRESS = "https://raw.githubusercontent.com/madebyollin/taesd/5cccb12dc72074a4be35680c3b108548a7c69978/"
SHA256 = {
    "taef2_encoder.pth": "10a4e1021e89d7551eaf161352da8dbd0b1aa83872ae28b150c1df1ce2f147b6",
    "taef2_decoder.pth": "0a44a31e1ae59eb9dbf9359d24942fd3ef5928162c1800d97a28c61d51be0ab5",
}
SMALL_STEPS, SMALL_BATCH, SMALL_CROP = 600, 16, 64  # of the small one's training: steps, crops a step, pixels


class Block(nn.Module):
    """Three convolutions and a skip; with `pooled` the input is first corrected by what the whole picture is like."""

    def __init__(self, width: int, pooled: bool = False) -> None:
        super().__init__()
        layers = [_conv(width, width), nn.ReLU(), _conv(width, width), nn.ReLU(), _conv(width, width)]
        self.conv = nn.Sequential(*layers)
        wide, narrow = nn.Conv2d(width, 4 * width, 1, bias=False), nn.Conv2d(4 * width, width, 1, bias=False)
        self.pool = nn.Sequential(wide, nn.GroupNorm(4, 4 * width), nn.ReLU(), narrow) if pooled else None

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


class SoftClamp(nn.Module):
    """Latents to -3..3, smoothly."""

    def forward(self, x: Tensor) -> Tensor:
        return 3 * torch.tanh(x / 3)


def encoder(width: int, latent: int, pooled: bool) -> nn.Sequential:
    """Pixels [B, 3, H, W] in 0..1, sides multiples of 8, to latents [B, latent, H / 8, W / 8]."""
    layers = [_conv(3, width), Block(width)]
    for pool in (False, False, pooled):
        layers += [_conv(width, width, stride=2, bias=False), *(Block(width, pool) for _ in range(3))]
    return nn.Sequential(*layers, _conv(width, latent))


def decoder(width: int, latent: int, pooled: bool) -> nn.Sequential:
    """Latents [B, latent, h, w] to pixels [B, 3, 8 h, 8 w], about 0..1."""
    layers: list[nn.Module] = [SoftClamp(), _conv(latent, width), nn.ReLU()]
    for pool in (pooled, False, False):
        layers += [*(Block(width, pool) for _ in range(3)), nn.Upsample(scale_factor=2)]
        layers += [_conv(width, width, bias=False)]
    return nn.Sequential(*layers, Block(width), _conv(width, 3))


def load(name: str) -> nn.Module:
    """The autoencoder `taef2`, or that of a folder with `<any>_encoder.pth` and `<any>_decoder.pth`; evaluation mode.

    Raises:
        UserError: the files are missing, cannot be downloaded, are not what was published, or fit no network of the family.
    """
    if name == "taef2":
        files = [_downloaded(path, digest) for path, digest in zip(places(), SHA256.values(), strict=True)]
    else:
        files = []
        for part in ("encoder", "decoder"):
            found = sorted(Path(name).glob(f"*_{part}.pth"))
            if len(found) != 1:
                said = f"holds {len(found)} files *_{part}.pth, not one; set aligned.autoencoder to taef2, small or a folder"
                raise UserError(f"{name}: {said} with an encoder and a decoder of the TAESD family")
            files += found
    parts, latents = [], []
    for path, build, first in zip(files, (encoder, decoder), ("0.weight", "1.weight"), strict=True):
        state = _read(path)
        try:
            width = state[first].shape[0]
            latents.append(state["14.weight"].shape[0] if build is encoder else state[first].shape[1])
            if latents[0] != latents[-1]:
                raise ValueError(f"it takes {latents[1]} latent channels, the encoder gives {latents[0]}")
            network = build(width, latents[0], any(".pool." in key for key in state))
            network.load_state_dict({key: value.float() for key, value in state.items()})
        except (KeyError, IndexError, RuntimeError, TypeError, ValueError) as error:
            said = f"these are not the weights of a TAESD autoencoder ({one_line(error)})"
            raise UserError(f"{path}: {said}; set aligned.autoencoder to taef2, small, or another folder") from None
        parts.append(network)
    return nn.Sequential(*parts).eval().requires_grad_(False)


def train_small(photos: Sequence[np.ndarray], seed: int) -> nn.Module:
    """A small autoencoder (strided and transposed 4x4 convolutions) that has learnt to copy the photos: 20 s of a core.

    For a demonstration without network alone: detectors of its copies did not know other generators' faces.

    Args:
        photos: uint8 [H, W, 3], sides of `SMALL_CROP` pixels at least.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    down = [nn.Conv2d(3, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 48, 4, 2, 1), nn.ReLU()]
    up = [nn.ConvTranspose2d(48, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 3, 4, 2, 1)]
    network = nn.Sequential(*down, *up)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.002)
    for _ in range(SMALL_STEPS):
        crops = []
        for index in rng.integers(len(photos), size=SMALL_BATCH):
            height, width = photos[index].shape[:2]
            top, left = rng.integers(height - SMALL_CROP + 1), rng.integers(width - SMALL_CROP + 1)
            crops.append(photos[index][top : top + SMALL_CROP, left : left + SMALL_CROP])
        batch = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
        optimizer.zero_grad()
        nn.functional.l1_loss(network(batch), batch).backward()
        optimizer.step()
    return network.eval().requires_grad_(False)


def round_trip(network: nn.Module, pixels: np.ndarray, device: torch.device) -> np.ndarray:
    """uint8 [H, W, 3], sides multiples of 8, to what the autoencoder makes of it: float32 [H, W, 3] in 0..255, not rounded."""
    with torch.inference_mode():
        batch = torch.tensor(pixels, device=device).permute(2, 0, 1)[None].float() / 255
        copy = network(batch)[0].clamp(0, 1) * 255
        return copy.permute(1, 2, 0).cpu().numpy()


def _conv(inputs: int, outputs: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias)


def places() -> list[Path]:
    """Where TAEF2's two files lie once they are downloaded."""
    return [Path(torch.hub.get_dir(), "checkpoints", name) for name in SHA256]


def _downloaded(path: Path, digest: str) -> Path:
    """TAEF2's file in torch's folder of downloads, fetched where it is not there; its content is compared either way."""
    name = path.name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(ADDRESS + name, str(path), hash_prefix=digest, progress=False)
        except Exception as error:  # no network, no such page, or another content than was published
            raise UserError(
                f"{ADDRESS}{name} could not be downloaded ({one_line(error)}); put that file at {path}, or set "
                "aligned.autoencoder in params.yaml to a folder that holds it"
            ) from None
    if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise UserError(
            f"{path}: is not the file that was published (its sha256 differs); remove it to download it again"
        )
    return path


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds on a file in another format
        raise UserError(
            f"{path}: not a readable state dict ({one_line(error)}); give a plain .pth of tensors"
        ) from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: holds no state dict (a mapping of names to tensors); save model.state_dict()")
    return state
