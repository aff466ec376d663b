"""Batches: an epoch is fixed by (seed, epoch), holds every image once, and pixels go with their labels."""

import numpy as np
import pytest
import torch

from fakeface.detector.augment import boxes_for, native_crop
from fakeface.detector.batches import FeatureBatches, PixelBatches, epoch_generator, in_pieces
from fakeface.detector.degradations import degradations_for, degraded
from fakeface.detector.networks import NETWORKS, normalise

N, SIZE = 23, 20
CPU = torch.device("cpu")
NETWORK = NETWORKS["mynet"]
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 3, SIZE, SIZE), dtype=np.uint8)
NAMES = np.arange(N)  # labels that name the image, so that a test sees which one it is
ROWS = np.array([3, 5, 0, 22, 9, 17, 4, 11, 2, 1, 20])


def pixel_batches(augment="crop", seed=0, crop=16, batch_size=4, rows=ROWS):
    return PixelBatches(
        PIXELS, NAMES, rows, NETWORK, crop_size=crop, batch_size=batch_size, device=CPU, augment=augment, seed=seed
    )


def feature_batches(views=3, batch_size=4, seed=0):
    features = np.arange(N, dtype=np.float32)[None, :, None] + 100 * np.arange(views, dtype=np.float32)[:, None, None]
    return FeatureBatches(features, NAMES, batch_size=batch_size, device=CPU, seed=seed)


def gathered(batches):
    x, y = zip(*batches, strict=True)
    return torch.cat(x), torch.cat(y)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(gathered(a), gathered(b), strict=True))


@pytest.mark.parametrize("make", [pixel_batches, feature_batches])
def test_same_seed_and_epoch_same_batches(make):
    assert same(make().train(5), make().train(5))
    batches = make()
    list(batches.train(0))
    assert same(batches.train(5), make().train(5))  # whatever was drawn before: a resumed run sees the same


@pytest.mark.parametrize("make", [pixel_batches, feature_batches])
def test_other_epoch_or_other_seed_other_order(make):
    orders = [tuple(gathered(make(seed=seed).train(epoch))[1].tolist()) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert len(set(orders)) == 3


@pytest.mark.parametrize("make", [pixel_batches, feature_batches])
@pytest.mark.parametrize("batch_size", [1, 4, 11, 100])
def test_epoch_holds_every_image_once_in_batches_of_the_size(make, batch_size):
    batches = make(batch_size=batch_size)
    sizes = [len(y) for _, y in batches.train(2)]
    assert len(sizes) == len(batches)
    assert all(size == batch_size for size in sizes[:-1])
    _, seen = gathered(batches.train(2))
    _, in_order = gathered(batches.in_order())
    assert sorted(seen.tolist()) == sorted(in_order.tolist())
    assert len(set(seen.tolist())) == len(seen)


@pytest.mark.parametrize("make", [pixel_batches, feature_batches])
def test_global_random_state_neither_matters_nor_moves(make):
    torch.manual_seed(1)
    first = gathered(make().train(0))
    before = torch.get_rng_state()
    torch.manual_seed(2)
    assert same([first], make().train(0))
    torch.manual_seed(1)
    assert torch.equal(before, torch.get_rng_state())


def test_epoch_streams_do_not_repeat_each_other():
    draws = {torch.rand(1, generator=epoch_generator(s, e)).item() for s in range(30) for e in range(30)}
    assert len(draws) == 900


def test_pixels_go_with_their_label_and_are_normalised():
    x, y = gathered(pixel_batches(augment="none").train(1))
    wanted = normalise(torch.from_numpy(PIXELS[y.numpy()])[:, :, 2:18, 2:18], NETWORK)
    assert torch.equal(x, wanted)


def test_in_order_gives_centre_crops_in_the_order_of_the_rows():
    x, y = gathered(pixel_batches(augment="article").in_order())
    assert y.tolist() == ROWS.tolist()
    assert torch.equal(x, normalise(torch.from_numpy(PIXELS[ROWS])[:, :, 2:18, 2:18], NETWORK))


@pytest.mark.parametrize("augment", ["article", "crop", "robust"])
def test_augmented_images_differ_between_epochs(augment):
    batches = pixel_batches(augment=augment)
    first, second = (gathered(batches.train(epoch)) for epoch in (0, 1))
    changed = [not torch.equal(first[0][first[1] == i], second[0][second[1] == i]) for i in ROWS.tolist()]
    assert np.mean(changed) > 0.7


@pytest.mark.parametrize("augment", ["article", "crop"])
def test_native_crops_stay_native_and_resized_ones_do_not(augment):
    """Augmentation `crop` must show only pixels that are in the image: the generator's trace is in them."""
    x, y = gathered(pixel_batches(augment=augment).train(0))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (NETWORK.mean, NETWORK.std))
    levels = ((x * std + mean) * 255).round()[:, 0]
    native = []
    for image, row in zip(levels, y.tolist(), strict=True):
        windows = torch.from_numpy(PIXELS[row, 0]).float().unfold(0, 16, 1).unfold(1, 16, 1)
        native.append(any((windows == side).all((2, 3)).any() for side in (image, image.flip(1))))
    assert all(native) == (augment == "crop")


def test_views_keep_the_order_and_differ():
    batches = pixel_batches(augment="article")
    (first, labels), (again, _), (other, _) = (gathered(batches.view(k)) for k in (0, 0, 1))
    assert labels.tolist() == ROWS.tolist()
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_epoch_reads_its_view_of_the_features():
    batches = feature_batches(views=3)
    for epoch in range(7):
        x, y = gathered(batches.train(epoch))
        assert torch.equal(x[:, 0], y + 100.0 * (epoch % 3))


def test_features_in_order_are_the_first_view():
    x, y = gathered(feature_batches().in_order())
    assert y.tolist() == NAMES.tolist()
    assert torch.equal(x[:, 0], y.float())


def test_robust_is_the_crop_of_the_degraded_whole_image_with_its_own_label():
    generator = epoch_generator(0, 2)
    order = torch.randperm(len(ROWS), generator=generator)
    boxes, flips = boxes_for("robust", len(ROWS), SIZE, 16, generator)
    what = degradations_for("robust", len(ROWS), generator)
    rows = ROWS[order.numpy()]
    whole = degraded(torch.from_numpy(PIXELS[rows]), what, torch.arange(len(ROWS)), 1)
    x, y = gathered(pixel_batches(augment="robust").train(2))
    assert y.tolist() == rows.tolist()
    assert torch.equal(x, normalise(native_crop(whole, boxes, flips, 16), NETWORK))
    plain, _ = gathered(pixel_batches(augment="crop").train(2))
    untouched = sum(what[:5]) == 0
    assert 0 < untouched.sum() < len(ROWS)
    assert torch.equal(x[untouched], plain[untouched])


@pytest.mark.parametrize("augment", ["article", "crop", "robust"])
@pytest.mark.parametrize("world", [2, 3])
def test_the_parts_of_several_processes_are_the_batches_of_one(augment, world, monkeypatch):
    whole = list(pixel_batches(augment=augment).train(1))
    parts = []
    for rank in range(world):
        for key, value in (("LOCAL_RANK", rank), ("RANK", rank), ("WORLD_SIZE", world)):
            monkeypatch.setenv(key, str(value))
        parts.append(list(pixel_batches(augment=augment).train(1)))
    for number, (x, y) in enumerate(whole):
        for rank in range(world):
            mine = slice(rank, None, world)
            if len(y[mine]):  # else the process keeps the pace with an image that is not counted
                assert torch.equal(parts[rank][number][0], x[mine])
                assert torch.equal(parts[rank][number][1], y[mine])


@pytest.mark.parametrize("augment", ["crop", "robust"])
def test_batch_size_changes_no_image(augment):
    one, four = (gathered(pixel_batches(augment=augment, batch_size=size).train(2)) for size in (1, 4))
    assert all(torch.equal(a, b) for a, b in zip(one, four, strict=True))


@pytest.mark.parametrize("augment", ["article", "crop", "robust", "none"])
@pytest.mark.parametrize("at_once", [1, 3, 4, 9, 100])
def test_batches_prepared_many_at_once_as_for_a_gpu_are_the_same(augment, at_once):
    single, many = pixel_batches(augment=augment), pixel_batches(augment=augment)
    many.at_once = at_once
    for steps in (
        lambda batches: batches.train(2),
        lambda batches: batches.view(1),
        lambda batches: batches.in_order(),
    ):
        pairs = list(zip(steps(single), steps(many), strict=True))
        for (x, y), (a, b) in pairs:
            assert torch.equal(x, a)
            assert torch.equal(y, b)
            assert a.is_contiguous(memory_format=torch.channels_last)
        assert [len(y) for _, (_, y) in pairs] == [4, 4, 3]


def test_a_piece_is_made_once_for_all_of_its_batches():
    made = []

    def make(place):
        made.append(place.tolist())
        return place.float(), place

    got = list(in_pieces(torch.arange(11).split(4), 9, make))
    assert made == [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 10]]  # two batches of 4 are the most that 9 hold
    assert [y.tolist() for _, y in got] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
