"""Batches from the pixel store or from cached features; the order of an epoch is a permutation from (seed, epoch).

Of several processes each yields its part of every batch (`distributed`)."""

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from fakeface.core.params import Features, TrainFinetune, TrainScratch
from fakeface.detector import distributed
from fakeface.detector.augment import boxes_for, native_crop, resized_crop
from fakeface.detector.degradations import degradations_for, degraded
from fakeface.detector.device import Compute
from fakeface.detector.networks import NETWORKS, Network, normalise

if TYPE_CHECKING:  # the loop and its batches run where no pandas is, as the benchmarks do on a bare GPU machine
    from fakeface.images.store import Dataset

# Without gradients a larger batch than the training's is faster, and it does not change what is learnt.
VAL_BATCH = 64


class Batches(Protocol):
    """What a training reads. `count`: images an epoch in all processes together; `batch_size`: of all processes together;
    `labels`: int64 [count], 0 real, 1 fake; 2 and more are other fakes (`Dataset.groups`)."""

    count: int
    batch_size: int
    labels: Tensor

    def __len__(self) -> int:
        """Batches an epoch."""
        return math.ceil(self.count / self.batch_size)

    def train(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels int64 [B], shuffled and augmented; the same batches for the same (seed, epoch)."""
        ...

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Not augmented, in the order of the rows; of several processes each has every n-th (`distributed.gather_rows`)."""
        ...


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """One stream of random numbers an epoch, so that a resumed run draws what an uninterrupted one would."""
    mixed = np.random.SeedSequence([seed, epoch]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(mixed[0]) << 31 ^ int(mixed[1]))


class PixelBatches(Batches):
    """Rows of a pixel store as normalised batches: float32 [B, 3, crop, crop] and labels int64 [B].

    On a GPU the rows lie in its memory as uint8; on a CPU they stay on the disk and one batch is read at a time.

    Args:
        pixels: uint8 [N, 3, S, S], an array or a store's `PixelFile`.
        labels: int64 [N], as in `Batches`; None: all 0, for whoever reads none.
        rows: int64, which images.
        augment: `article`, `crop`, `robust` or `none`, for `train`.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        labels: np.ndarray | None,
        rows: np.ndarray,
        network: Network,
        *,
        crop_size: int,
        batch_size: int,
        device: torch.device,
        augment: str = "none",
        seed: int = 0,
    ) -> None:
        self.pixels, self.rows, self.network = pixels, rows, network
        self.crop_size, self.batch_size, self.augment, self.seed = crop_size, batch_size, augment, seed
        self.device, self.count = device, len(rows)
        self.places = torch.arange(len(rows), device=device)
        self.labels = torch.from_numpy(np.zeros(len(rows), np.int64) if labels is None else labels[rows]).to(device)
        self.resident = _on_device(pixels, rows, device) if device.type == "cuda" else None

    def train(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        generator = epoch_generator(self.seed, epoch)
        order = torch.randperm(len(self.rows), generator=generator)
        places = [distributed.mine(batch) for batch in self.places.split(self.batch_size)]
        return self._batches(order, places, generator, self.augment)

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        places = distributed.mine(self.places).split(self.batch_size)
        return self._batches(self.places, places, torch.Generator(), "none")

    def view(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Augmented, in the order of `rows`: one view of every image for the feature cache."""
        places = self.places.split(self.batch_size)
        return self._batches(self.places, places, epoch_generator(self.seed, number), self.augment)

    def _batches(
        self, order: Tensor, places: Iterable[Tensor], generator: torch.Generator, augment: str
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """`places`: int64 [B] for each batch, where in `order` its images stand; all that is random is drawn for all of `order`.

        What the batches need goes to the device here, once: a copy in each batch would make the host wait for a GPU.
        """
        boxes, flips = boxes_for(augment, len(order), self.pixels.shape[-1], self.crop_size, generator)
        degradations = degradations_for(augment, len(order), generator)
        crop = native_crop if bool((boxes[:, 2:] == self.crop_size).all()) else resized_crop
        boxes, flips, order = boxes.to(self.device), flips.to(self.device), order.to(self.device)
        for place in places:
            index = order[place]
            pixels = self._take(index)
            if degradations:
                pixels = degraded(pixels, degradations, place.cpu(), torch.get_num_threads())
            images = crop(pixels, boxes[place], flips[place], self.crop_size)
            yield normalise(images, self.network), self.labels[index]

    def _take(self, index: Tensor) -> Tensor:
        if self.resident is not None:
            return self.resident[index]
        return torch.from_numpy(self.pixels[self.rows[index.numpy()]])


def pixel_batches(
    dataset: "Dataset",
    section: Features | TrainScratch | TrainFinetune,
    batch_size: int,
    seed: int,
    compute: Compute,
    val_batch: int = VAL_BATCH,
    balance: str = "class",
) -> tuple[PixelBatches, PixelBatches]:
    """The training images, augmented, and the val images, as `section` says: centre crops, or whole where several are scored;
    `balance`: `Dataset.groups`."""
    whole = getattr(section, "score_crops", 1) > 1
    train, val = (
        PixelBatches(dataset.pixels, dataset.groups(balance), dataset.rows(split), NETWORKS[section.network],
                     crop_size=crop, batch_size=size, device=compute.device, augment=section.augment, seed=seed)
        for split, crop, size in (("train", section.crop_size, batch_size),
                                  ("val", dataset.pixels.shape[-1] if whole else section.crop_size, val_batch))
    )  # fmt: skip
    return train, val


def _on_device(pixels: np.ndarray, rows: np.ndarray, device: torch.device) -> Tensor:
    """Copies rows piece by piece, so that the host's memory holds a small part at a time."""
    resident = torch.empty((len(rows), *pixels.shape[1:]), dtype=torch.uint8, device=device)
    for start in range(0, len(rows), 1024):
        resident[start : start + 1024] = torch.from_numpy(pixels[rows[start : start + 1024]])
    return resident


class FeatureBatches(Batches):
    """Cached features of a frozen backbone as batches: float32 [B, F] and labels int64 [B].

    Args:
        views: float32 [K, n, F], K augmented views of the training images; epoch e reads view e modulo K.
        labels: int64 [n].
    """

    def __init__(
        self, views: np.ndarray, labels: np.ndarray, *, batch_size: int, device: torch.device, seed: int = 0
    ) -> None:
        self.views = torch.from_numpy(np.ascontiguousarray(views)).to(device)
        self.labels = torch.from_numpy(labels).to(device)
        self.batch_size, self.seed, self.count = batch_size, seed, len(labels)

    def train(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.labels), generator=epoch_generator(self.seed, epoch)).to(self.labels.device)
        return self._batches(epoch, [distributed.mine(batch) for batch in order.split(self.batch_size)])

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.arange(len(self.labels), device=self.labels.device)
        return self._batches(0, distributed.mine(order).split(self.batch_size))

    def _batches(self, epoch: int, batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        view = self.views[epoch % len(self.views)]
        for index in batches:
            yield view[index], self.labels[index]
