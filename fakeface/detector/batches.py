"""Batches from the pixel store or from cached features; the order of an epoch is a permutation from (seed, epoch).

Of several processes each yields its part of every batch (`distributed`)."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from fakeface.core.params import Features, TrainFinetune, TrainScratch
from fakeface.detector import distributed
from fakeface.detector.augment import boxes_for, native_crop, resized_crop
from fakeface.detector.degradations import degradations_for, degraded
from fakeface.detector.device import Compute, images_at_once, resident
from fakeface.detector.networks import NETWORKS, Network, normalise

if TYPE_CHECKING:  # the loop and its batches run where no pandas is, as the benchmarks do on a bare GPU machine
    from fakeface.images.store import Dataset

Batch = tuple[Tensor, Tensor]  # inputs, and labels int64 [B]


class Batches(Protocol):
    """What a training reads. `count`: images an epoch in all processes together; `batch_size`: of all processes together;
    `labels`: int64 [count], 0 real, 1 fake; 2 and more are other fakes (`Dataset.groups`)."""

    count: int
    batch_size: int
    labels: Tensor

    def __len__(self) -> int:
        """Batches an epoch."""
        return math.ceil(self.count / self.batch_size)

    def train(self, epoch: int) -> Iterator[Batch]:
        """Inputs and labels int64 [B], shuffled and augmented; the same batches for the same (seed, epoch)."""
        ...

    def in_order(self) -> Iterator[Batch]:
        """Not augmented, in the order of the rows; of several processes each has every n-th (`distributed.gather_rows`)."""
        ...


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """One stream of random numbers an epoch, so that a resumed run draws what an uninterrupted one would."""
    mixed = np.random.SeedSequence([seed, epoch]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(mixed[0]) << 31 ^ int(mixed[1]))


def in_pieces(places: Sequence[Tensor], images: int, make: Callable[[Tensor], Batch]) -> Iterator[Batch]:
    """What `make` gives for each of `places`, made for `images` at once, or one batch: what starts it costs a GPU's host 1 ms."""
    batches = max(1, images // max(1, len(places[0])))  # a process may have no part of a small batch
    for start in range(0, len(places), batches):
        piece = list(places[start : start + batches])
        x, y = make(torch.cat(piece))
        yield from zip(x.split(len(piece[0])), y.split(len(piece[0])), strict=True)  # only the last may be smaller


class PixelBatches(Batches):
    """Rows of a pixel store as normalised batches: float32 [B, 3, crop, crop] and labels int64 [B].

    On a GPU the rows are in its memory as uint8 and many batches are made at once; on a CPU one is read at a time.

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
        self.resident = resident(pixels, rows, device) if device.type == "cuda" else None
        self.at_once = images_at_once(device, pixels.shape[-1], crop_size)

    def train(self, epoch: int) -> Iterator[Batch]:
        generator = epoch_generator(self.seed, epoch)
        order = torch.randperm(len(self.rows), generator=generator)
        places = [distributed.mine(batch) for batch in self.places.split(self.batch_size)]
        return self._batches(order, places, generator, self.augment)

    def in_order(self) -> Iterator[Batch]:
        places = distributed.mine(self.places).split(self.batch_size)
        return self._batches(self.places, places, torch.Generator(), "none")

    def view(self, number: int) -> Iterator[Batch]:
        """Augmented, in the order of `rows`: one view of every image for the feature cache."""
        places = self.places.split(self.batch_size)
        return self._batches(self.places, places, epoch_generator(self.seed, number), self.augment)

    def _batches(
        self, order: Tensor, places: Sequence[Tensor], generator: torch.Generator, augment: str
    ) -> Iterator[Batch]:
        """`places`: int64 [B] for each batch, where in `order` its images stand; all that is random is drawn for all of `order`.

        What the batches need goes to the device here, once: a copy in each batch would make the host wait for a GPU.
        """
        boxes, flips = boxes_for(augment, len(order), self.pixels.shape[-1], self.crop_size, generator)
        degradations = degradations_for(augment, len(order), generator)
        crop = native_crop if bool((boxes[:, 2:] == self.crop_size).all()) else resized_crop
        boxes, flips, order = boxes.to(self.device), flips.to(self.device), order.to(self.device)

        def made(place: Tensor) -> Batch:
            index = order[place]
            here = self.resident
            pixels = torch.from_numpy(self.pixels[self.rows[index.numpy()]]) if here is None else here[index]
            if degradations:
                pixels = degraded(pixels, degradations, place.cpu(), torch.get_num_threads())
            images = crop(pixels, boxes[place], flips[place], self.crop_size)
            return normalise(images, self.network), self.labels[index]

        yield from in_pieces(places, self.at_once, made)


def pixel_batches(
    dataset: "Dataset",
    section: Features | TrainScratch | TrainFinetune,
    batch_size: int,
    seed: int,
    compute: Compute,
    balance: str = "class",
) -> tuple[PixelBatches, PixelBatches]:
    """The training images, augmented, and the val images, as `section` says: centre crops, or whole where several are scored;
    `balance`: `Dataset.groups`."""
    whole = getattr(section, "score_crops", 1) > 1
    train, val = (
        PixelBatches(dataset.pixels, dataset.groups(balance), dataset.rows(split), NETWORKS[section.network],
                     crop_size=crop, batch_size=size, device=compute.device, augment=section.augment, seed=seed)
        for split, crop, size in (("train", section.crop_size, batch_size),
                                  ("val", dataset.pixels.shape[-1] if whole else section.crop_size, compute.scoring_batch))
    )  # fmt: skip
    return train, val


class FeatureBatches(Batches):
    """Cached features of a frozen backbone as batches: float32 [B, F] and labels int64 [B].

    `views`: K augmented ones of the training images, float32 [n, F] each, read a batch at a time; epoch e reads view e modulo K.
    `labels`: int64 [n]."""

    def __init__(self, views: Any, labels: np.ndarray, *, batch_size: int, device: torch.device, seed: int = 0) -> None:
        rows = np.arange(len(labels))
        self.views = [resident(view, rows, device) for view in views] if device.type == "cuda" else views
        self.labels = torch.from_numpy(labels).to(device)
        self.batch_size, self.seed, self.count = batch_size, seed, len(labels)

    def train(self, epoch: int) -> Iterator[Batch]:
        order = torch.randperm(len(self.labels), generator=epoch_generator(self.seed, epoch)).to(self.labels.device)
        return self._batches(epoch, [distributed.mine(batch) for batch in order.split(self.batch_size)])

    def in_order(self) -> Iterator[Batch]:
        places = distributed.mine(torch.arange(self.count, device=self.labels.device))
        return self._batches(0, places.split(self.batch_size))

    def _batches(self, epoch: int, batches: Sequence[Tensor]) -> Iterator[Batch]:
        view, on_cpu = self.views[epoch % len(self.views)], self.labels.is_cpu
        read = (lambda index: torch.from_numpy(view[index.numpy()])) if on_cpu else view.__getitem__
        return in_pieces(batches, 1 if on_cpu else self.count, lambda index: (read(index), self.labels[index]))
