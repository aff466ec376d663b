"""Parts of several processes: together they are the whole, each image once, whatever the numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fakeface.detector import distributed
from fakeface.detector.batches import FeatureBatches, PixelBatches
from fakeface.detector.networks import NETWORKS

CPU = torch.device("cpu")


class Process:
    """Makes this process the one of that rank."""

    def __init__(self, rank: int, world: int) -> None:
        self.values = {"LOCAL_RANK": str(rank), "RANK": str(rank), "WORLD_SIZE": str(world)}

    def __enter__(self) -> None:
        self.patch = pytest.MonkeyPatch()
        for key, value in self.values.items():
            self.patch.setenv(key, value)

    def __exit__(self, *_: object) -> None:
        self.patch.undo()


def interleaved(parts: list[list[int]], count: int) -> list[int]:
    """What `gather_rows` makes of the processes' rows."""
    rows = [parts[i % len(parts)][i // len(parts)] for i in range(count)]
    return rows


@given(count=st.integers(1, 40), batch=st.integers(1, 17), world=st.integers(1, 6))
def test_val_comes_back_in_order(count, batch, world):
    cached = FeatureBatches(np.zeros((1, count, 1), np.float32), np.arange(count), batch_size=batch, device=CPU)
    parts = []
    for rank in range(world):
        with Process(rank, world):
            parts.append([int(label) for _, y in cached.in_order() for label in y])
            assert len(parts[-1]) == max(1, distributed.part(count))
    assert interleaved(parts, count) == list(range(count))


@given(count=st.integers(1, 40), batch=st.integers(1, 17), world=st.integers(1, 6), epoch=st.integers(0, 3))
def test_each_training_batch_is_shared_out(count, batch, world, epoch):
    cached = FeatureBatches(np.zeros((1, count, 1), np.float32), np.arange(count), batch_size=batch, device=CPU)
    whole = [y.tolist() for _, y in cached.train(epoch)]
    shared = [[] for _ in whole]
    for rank in range(world):
        with Process(rank, world):
            for k, (_, y) in enumerate(cached.train(epoch)):
                shared[k] += y.tolist()[: distributed.part(len(whole[k]))]
    assert [sorted(part) for part in shared] == [sorted(batch) for batch in whole]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_an_image_keeps_its_crop_whoever_takes_it(world):
    pixels = np.random.default_rng(0).integers(0, 256, (11, 3, 40, 40), dtype=np.uint8)
    batches = PixelBatches(
        pixels,
        np.arange(11),
        np.arange(11),
        NETWORKS["mynet"],
        crop_size=32,
        batch_size=5,
        device=CPU,
        augment="article",
    )
    alone = {int(label): image for x, y in batches.train(1) for image, label in zip(x, y, strict=True)}
    for rank in range(world):
        with Process(rank, world):
            for x, y in batches.train(1):
                assert all(torch.equal(image, alone[int(label)]) for image, label in zip(x, y, strict=True))


def test_numbers_that_others_set_are_not_ours(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert (distributed.rank(), distributed.world()) == (0, 1)
