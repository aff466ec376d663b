"""Parts of several processes: together they are the whole, each image once, whatever the numbers."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fakeface.detector import distributed
from fakeface.detector.batches import FeatureBatches

CPU = torch.device("cpu")


@contextmanager
def process(rank: int, world: int) -> Iterator[None]:
    """Makes this process the one of that rank."""
    with pytest.MonkeyPatch.context() as patch:
        for key, value in (("LOCAL_RANK", rank), ("RANK", rank), ("WORLD_SIZE", world)):
            patch.setenv(key, str(value))
        yield


def interleaved(parts: list[list[int]], count: int) -> list[int]:
    """What `gather_rows` makes of the processes' rows."""
    return [parts[i % len(parts)][i // len(parts)] for i in range(count)]


@given(count=st.integers(1, 40), batch=st.integers(1, 17), world=st.integers(1, 6))
def test_val_comes_back_in_order(count, batch, world):
    cached = FeatureBatches(np.zeros((1, count, 1), np.float32), np.arange(count), batch_size=batch, device=CPU)
    parts = []
    for rank in range(world):
        with process(rank, world):
            parts.append([int(label) for _, y in cached.in_order() for label in y])
            assert len(parts[-1]) == max(1, distributed.part(count))
    assert interleaved(parts, count) == list(range(count))


@given(count=st.integers(1, 40), batch=st.integers(1, 17), world=st.integers(1, 6), epoch=st.integers(0, 3))
def test_each_training_batch_is_shared_out(count, batch, world, epoch):
    cached = FeatureBatches(np.zeros((1, count, 1), np.float32), np.arange(count), batch_size=batch, device=CPU)
    whole = [y.tolist() for _, y in cached.train(epoch)]
    shared = [[] for _ in whole]
    for rank in range(world):
        with process(rank, world):
            for k, (_, y) in enumerate(cached.train(epoch)):
                shared[k] += y.tolist()[: distributed.part(len(whole[k]))]
    assert [sorted(part) for part in shared] == [sorted(batch) for batch in whole]


def test_numbers_that_others_set_are_not_ours(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert (distributed.rank(), distributed.world()) == (0, 1)
