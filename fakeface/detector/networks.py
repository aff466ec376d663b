"""The five networks (`backbones.names`), each with its normalisation and its 2-class head."""

from functools import cache

import torch
from torch import Tensor, nn

from fakeface.core.errors import UserError
from fakeface.detector.backbones.efficientnet import EfficientNetLite0
from fakeface.detector.backbones.even import EvenConv2d
from fakeface.detector.backbones.names import CLASSES, NETWORKS, Network


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
            layers += [EvenConv2d(channels, out, kernel), nn.MaxPool2d(2), nn.ReLU()]
            side, channels = (side - kernel + 1) // 2, out
        layers[-3].last = True  # type: ignore[assignment]
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
    return with_new_head(build_1000(name), name)


def build_1000(name: str) -> nn.Module:
    """`vgg11`, `resnet18` or `efficientnet_lite0` with random weights and the head for ImageNet's 1000 classes; or
    `clip_vit_b16`, whose weights have no head that fits.

    Raises:
        UserError: `clip_vit_b16`, and timm is not installed.
    """
    if name == "efficientnet_lite0":
        return EfficientNetLite0()
    if name == "clip_vit_b16":
        try:
            from fakeface.detector.backbones.clip import ClipViT
        except ModuleNotFoundError as error:
            raise UserError(f"{name} needs timm ({error}): run `pip install 'fakeface[clip]'`") from None
        return ClipViT()
    import torchvision

    return getattr(torchvision.models, name)(weights=None)


def he_init(model: nn.Module) -> None:
    """He-normal weights, zero biases (He et al. 2015). torch's default lets the signal fade in deep networks without
    normalisation: `mynet` then stays at chance for many epochs, the flat start of the article's loss curve."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


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


def normalise(pixels: Tensor, network: Network) -> Tensor:
    """Pixels in 0..255 (any dtype) [B, 3, S, S] -> float32, mean and std of the network, channels_last."""
    mean, std = _moments(network, pixels.device)
    return ((pixels.float() - mean) / std).contiguous(memory_format=torch.channels_last)


@cache  # once a device: a copy in each batch would make the host wait for a GPU
@torch.inference_mode(False)
def _moments(network: Network, device: torch.device) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(v, device=device).mul(255).view(1, 3, 1, 1) for v in (network.mean, network.std))
    return mean, std
