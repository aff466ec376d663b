"""Augmentation of whole batches: boxes and flips are drawn for an epoch at once, then applied.

On a CPU each box goes through torchvision's uint8 kernel (0.6 ms an image of 256 pixels; the matrices below take 4.4 ms).
On a GPU one launch per image is too slow: there a crop with antialiased resizing, linear in rows and in columns, is
`R @ image @ C^T` for the whole batch, the triangle filter of Pillow and torchvision inside the matrices.
"""

import math

import torch
from torch import Tensor


def resized_crop_boxes(n: int, size: int, generator: torch.Generator, scale: tuple[float, float] = (0.08, 1)) -> Tensor:
    """Boxes of torchvision's RandomResizedCrop for `n` images of `size` x `size`: int64 [n, 4], top, left, height, width.

    Ten tries an image, then the largest centred box of an allowed ratio, as torchvision does.
    """
    tries = 10
    area = size * size * torch.empty(n, tries).uniform_(*scale, generator=generator)
    aspect = torch.exp(torch.empty(n, tries).uniform_(math.log(3 / 4), math.log(4 / 3), generator=generator))
    width = torch.round(torch.sqrt(area * aspect)).long()
    height = torch.round(torch.sqrt(area / aspect)).long()
    fits = (width > 0) & (width <= size) & (height > 0) & (height <= size)
    # argmax of booleans is the first True; images without one get the whole square, whose ratio 1 is allowed
    first = fits.int().argmax(1, keepdim=True)
    found = fits.any(1)
    height = torch.where(found, height.gather(1, first)[:, 0], size)
    width = torch.where(found, width.gather(1, first)[:, 0], size)
    place = torch.rand(2, n, generator=generator)
    top = (place[0] * (size - height + 1)).long()
    left = (place[1] * (size - width + 1)).long()
    return torch.stack([top, left, height, width], 1)


def random_crop_boxes(n: int, size: int, crop: int, generator: torch.Generator) -> Tensor:
    """Crops at native resolution, anywhere: int64 [n, 4], top, left, `crop`, `crop`."""
    place = torch.randint(0, size - crop + 1, (n, 2), generator=generator)
    return torch.cat([place, torch.full((n, 2), crop)], 1)


def centre_boxes(n: int, size: int, crop: int) -> Tensor:
    """torchvision's CenterCrop: int64 [n, 4]."""
    offset = round((size - crop) / 2)
    return torch.tensor([[offset, offset, crop, crop]]).repeat(n, 1)


def boxes_for(augment: str, n: int, size: int, crop: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Boxes and flips (bool [n]) of one epoch.

    `article`: RandomResizedCrop, flip; `crop`, `robust`: native crop, flip; `none`: the centre.
    """
    if augment == "none":
        return centre_boxes(n, size, crop), torch.zeros(n, dtype=torch.bool)
    article = augment == "article"
    boxes = resized_crop_boxes(n, size, generator) if article else random_crop_boxes(n, size, crop, generator)
    return boxes, torch.rand(n, generator=generator) < 0.5


def native_crop(pixels: Tensor, boxes: Tensor, flip: Tensor, crop: int) -> Tensor:
    """`resized_crop` for boxes that are all `crop` x `crop`: pixels are copied exactly."""
    rows = boxes[:, 0, None] + torch.arange(crop, device=pixels.device)
    columns = torch.arange(crop, device=pixels.device).expand(len(boxes), crop)
    columns = boxes[:, 1, None] + torch.where(flip[:, None], columns.flip(1), columns)
    image = torch.arange(len(boxes), device=pixels.device)
    # [B, crop, crop, 3] indexed from a channels-last view, then back
    cut = pixels.permute(0, 2, 3, 1)[image[:, None, None], rows[:, :, None], columns[:, None, :]]
    return cut.permute(0, 3, 1, 2).float()


def resized_crop(pixels: Tensor, boxes: Tensor, flip: Tensor, crop: int) -> Tensor:
    """Cuts a box out of each image and resizes it, antialiased, to `crop` x `crop`; flips where asked.

    Args:
        pixels: uint8 [B, 3, S, S].
        boxes: int64 [B, 4], top, left, height, width in pixels, on the same device.
        flip: bool [B], left-right, on the same device.

    Returns:
        float32 [B, 3, crop, crop] in 0..255.
    """
    if pixels.device.type != "cpu":
        return matrix_crop(pixels, boxes, flip, crop)
    from torchvision.transforms.v2 import functional

    cut = []
    for image, box, flipped in zip(pixels, boxes.tolist(), flip.tolist(), strict=True):
        resized = functional.resized_crop(image, *box, [crop, crop], antialias=True)
        cut.append(functional.horizontal_flip(resized) if flipped else resized)
    return torch.stack(cut).float()


def matrix_crop(pixels: Tensor, boxes: Tensor, flip: Tensor, crop: int) -> Tensor:
    """`resized_crop` as two batched matrix products, the way of a GPU; not rounded to whole grey levels."""
    size = pixels.shape[-1]
    rows = resize_matrices(boxes[:, 0], boxes[:, 2], size, crop)
    columns = resize_matrices(boxes[:, 1], boxes[:, 3], size, crop)
    columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    # Two plain batched products: columns first on [B, 3 S, S], then rows on [B, S, 3 crop].
    batch = len(pixels)
    narrow = torch.bmm(pixels.float().view(batch, 3 * size, size), columns.transpose(1, 2))
    narrow = narrow.view(batch, 3, size, crop).transpose(1, 2).reshape(batch, size, 3 * crop)
    return torch.bmm(rows, narrow).view(batch, crop, 3, crop).transpose(1, 2)


def resize_matrices(start: Tensor, length: Tensor, size: int, out: int) -> Tensor:
    """Antialiased bilinear resizing of `length` pixels from `start` to `out`, as matrices: float32 [B, out, size].

    The triangle filter is as wide as the scale when it shrinks and one pixel wide when it grows; rows sum to 1. The same
    weights as Pillow's BILINEAR and torchvision's `antialias=True`.
    """
    scale = (length / out)[:, None, None]
    width = scale.clamp(min=1)
    centre = (torch.arange(out, device=start.device)[None, :, None] + 0.5) * scale
    position = torch.arange(size, device=start.device)[None, None, :] - start[:, None, None] + 0.5
    weights = (1 - (position - centre).abs() / width).clamp(min=0)
    inside = (position > 0) & (position < length[:, None, None])
    weights = weights * inside
    return weights / weights.sum(2, keepdim=True)
