"""The cells of the protocol: as DESIGN has them, the same for both classes, whatever the batch, the order or the threads."""

import numpy as np
import pytest

from fakeface.core.perturbations import CELLS, KINDS, of_kind
from fakeface.images import degrade
from fakeface.robustness.stage import perturb

N, SIZE = 7, 48
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 3, SIZE, SIZE), dtype=np.uint8)
KEYS = [f"{i:064x}" for i in range(N)]
BY_NAME = {cell.name: cell for cell in CELLS}


def test_the_protocol_is_complete():
    steps = [cell.steps for cell in CELLS]
    single = {"jpeg": (95, 90, 75, 65, 50, 30), "blur": (1, 2, 3, 4), "resize": (0.75, 0.5, 0.25), "noise": (5, 10)}
    assert steps[0] == ()
    assert steps[1:-1] == [((kind, strength),) for kind, strengths in single.items() for strength in strengths]
    assert steps[-1] == (("blur", 2), ("jpeg", 50))
    assert len(BY_NAME) == len(CELLS) == 17


def test_a_kind_has_its_cells_after_the_clean_one():
    assert [cell.name for cell in of_kind("blur")] == ["clean", "blur_1", "blur_2", "blur_3", "blur_4"]
    shown = {cell.name for kind in KINDS for cell in of_kind(kind)}
    assert set(BY_NAME) - shown == {"blur_2_jpeg_50"}


def test_clean_changes_nothing():
    assert np.array_equal(perturb(PIXELS, BY_NAME["clean"], KEYS, 0), PIXELS)


@pytest.mark.parametrize("cell", CELLS[1:], ids=lambda cell: cell.name)
def test_neither_batch_nor_order_nor_threads_matter(cell):
    whole = perturb(PIXELS, cell, KEYS, 3)
    assert (whole.dtype, whole.shape) == (np.uint8, PIXELS.shape)
    assert not any(np.array_equal(a, b) for a, b in zip(whole, PIXELS, strict=True))
    assert np.array_equal(perturb(PIXELS, cell, KEYS, 3, threads=4), whole)
    order = np.random.default_rng(1).permutation(N)
    shuffled = perturb(PIXELS[order], cell, [KEYS[i] for i in order], 3)
    assert np.array_equal(shuffled, whole[order])
    alone = [perturb(PIXELS[i : i + 1], cell, KEYS[i : i + 1], 3)[0] for i in range(N)]
    assert np.array_equal(np.stack(alone), whole)


def test_steps_are_done_in_turn():
    wanted = degrade.jpeg(degrade.blur(PIXELS[0], 2), 50)
    assert np.array_equal(perturb(PIXELS[:1], BY_NAME["blur_2_jpeg_50"], KEYS[:1], 0)[0], wanted)


def test_noise_belongs_to_image_cell_and_seed():
    def added(cell, key, seed):
        grey = np.full((1, 3, SIZE, SIZE), 128, dtype=np.uint8)
        return perturb(grey, BY_NAME[cell], [key], seed)[0].astype(float) - 128

    first = added("noise_5", KEYS[0], 0)
    assert np.array_equal(first, added("noise_5", KEYS[0], 0))
    for other in (added("noise_5", KEYS[1], 0), added("noise_5", KEYS[0], 1), added("noise_10", KEYS[0], 0)):
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.05
