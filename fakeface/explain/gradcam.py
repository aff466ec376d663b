"""Grad-CAM: where in an image a detector finds its evidence, as a heat map over what its network sees."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import ImageColor
from torch import Tensor, nn

from fakeface.detector.augment import centre_boxes
from fakeface.detector.batches import PixelBatches
from fakeface.detector.networks import NETWORKS
from fakeface.detector.predictor import Predictor
from fakeface.pages.render import CLASS_COLOURS

BATCH = 8  # images; bounds the memory of the backward pass
SOLID = 0.75  # opacity of the strongest evidence: the image shows through


@dataclass(frozen=True)
class Layer:
    """The last convolutional feature map of a network, after its ReLU; of CLIP, tokens that still become part of what its head
    reads from three of four blocks. `name`: dotted, of the module that gives it.

    `first`, `step`: pixels of the crop, where the middle of what its first field sees lies, and how far the next one is. None:
    the convolutions are padded, so the fields share the crop evenly (to half a field).
    """

    name: str
    first: float | None = None
    step: float | None = None


# Convolutions without padding lose the edges: mynet's fields are in the middle of the crop.
LAYERS = {
    "mynet": Layer("features.13", first=39.5, step=16),
    "vgg11": Layer("features.19"),
    "resnet18": Layer("layer4"),
    "efficientnet_lite0": Layer("act2"),
    "clip_vit_b16": Layer("blocks.4"),
}


def unpooled(model: nn.Module, network: str) -> nn.Module:
    """The network in an order in which the map of `LAYERS` exists; layers and values are those of `model`.

    Only `mynet` changes: it pools before its last ReLU, and the other way round its map has 4 x 4 fields where pooling leaves
    2 x 2 (crop 128).
    """
    if network != "mynet":
        return model
    features, hidden, head = model.children()
    *earlier, pool, relu = features.children()
    opened = nn.Sequential()
    opened.features, opened.hidden, opened.head = nn.Sequential(*earlier, relu, pool), hidden, head
    return opened


def grad_cam(model: nn.Module, layer: nn.Module, images: Tensor) -> Tensor:
    """Evidence for fake (above 0) and for real (below 0) in each field of a feature map: float32 [B, h, w].

    Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391) weighs each channel with the mean gradient of a target and adds them up.
    The target here is the logit of fake less the logit of real: with two classes the score depends on nothing else. The sign is
    kept where the paper keeps what is above 0: that part is the paper's map for fake, and the rest, negated, its map for real
    (negating the target negates all gradients). One picture thus says both, and no map is empty because the other class won.

    Args:
        model: in evaluation mode; layer: one of its modules, giving [B, C, h, w] or tokens (`as_map`).
        images: float [B, 3, S, S], normalised.
    """
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    # through a frozen backbone gradients flow only if something before the layer asks for them
    logits = model(images.detach().requires_grad_())
    handle.remove()
    (gradient,) = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), seen[0])
    return (as_map(seen[0]) * as_map(gradient).mean((2, 3), keepdim=True)).sum(1).detach()


def as_map(seen: Tensor) -> Tensor:
    """[B, C, h, w] as it is; tokens [B, 1 + h h, C], a class token and h x h patches, as [B, C, h, h] without the class token."""
    if seen.dim() == 4:
        return seen
    patches = seen[:, 1:].transpose(1, 2)
    return patches.unflatten(2, (math.isqrt(patches.shape[2]), -1))


def heat_maps(predictor: Predictor, pixels: Any, rows: np.ndarray) -> np.ndarray:
    """`grad_cam` of images, through the predictor's own transform and network, in fp32: float32 [len(rows), crop, crop].

    Args:
        pixels: a pixel store, uint8 [N, 3, S, S]; `rows`: which of its images.
    """
    network, crop_size = predictor.card["network"], predictor.card["crop_size"]
    if not len(rows):
        return np.empty((0, crop_size, crop_size), dtype=np.float32)
    model = unpooled(predictor.model.eval(), network)
    layer = model.get_submodule(LAYERS[network].name)
    device = predictor.compute.device
    batches = PixelBatches(pixels, None, rows, NETWORKS[network], crop_size=crop_size, batch_size=BATCH, device=device)
    fields = torch.cat([grad_cam(model, layer, images).cpu() for images, _ in batches.in_order()])
    return enlarge(fields.numpy(), network, crop_size)


def enlarge(fields: np.ndarray, network: str, crop_size: int) -> np.ndarray:
    """Maps [n, h, h] -> float32 [n, crop, crop], linear between the middles of the fields, constant outside the outermost."""
    layer, count = LAYERS[network], fields.shape[-1]
    step = layer.step or crop_size / count
    first = (step - 1) / 2 if layer.first is None else layer.first
    places = (np.arange(crop_size) - first) / step
    weights = np.stack([np.interp(places, np.arange(count), one) for one in np.eye(count)], 1)
    return (weights @ fields @ weights.T).astype(np.float32)


def crops(pixels: Any, rows: np.ndarray, crop_size: int) -> np.ndarray:
    """What the network sees of the images: uint8 [len(rows), 3, crop, crop], the centre."""
    top, left, height, width = centre_boxes(1, pixels.shape[-1], crop_size)[0].tolist()
    return pixels[rows][:, :, top : top + height, left : left + width]


def overlay(crops: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Grey images with evidence laid over them, in the classes' colours: uint8 [n, 3, crop, crop].

    All share one scale, so a faint map is weak evidence. The colour grows with the root of the evidence: in proportion, a few
    very sure images would leave the others grey. The strongest hundredth of all fields has the fullest colour.

    Args:
        crops: uint8 [n, 3, crop, crop]; maps: float [n, crop, crop], above 0 for fake.
    """
    most = max(float(np.percentile(np.abs(maps), 99)), 1e-12) if maps.size else 1.0
    grey = np.tensordot((0.299, 0.587, 0.114), crops.astype(np.float32), axes=(0, 1))[:, None]
    fake, real = (np.reshape(ImageColor.getrgb(CLASS_COLOURS[name]), (1, 3, 1, 1)) for name in ("fake", "real"))
    values = maps[:, None]
    opacity = SOLID * np.sqrt(np.clip(np.abs(values) / most, 0, 1))
    return np.rint(grey + opacity * (np.where(values > 0, fake, real) - grey)).astype(np.uint8)
