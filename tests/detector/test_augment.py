"""Augmentation draws torchvision's boxes and cuts torchvision's pixels, whole batches at once."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torchvision.transforms import CenterCrop, RandomResizedCrop
from torchvision.transforms.v2 import functional

from fakeface.detector.augment import (
    boxes_for,
    centre_boxes,
    matrix_crop,
    native_crop,
    random_crop_boxes,
    resize_matrices,
    resized_crop,
    resized_crop_boxes,
)
from fakeface.detector.degradations import Degradations, degradations_for, degraded
from fakeface.images import degrade

N = 3000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(n=6, size=64, seed=0):
    """uint8 [n, 3, size, size]: smooth gradients with hard noise on top."""
    noise = torch.randint(0, 256, (n, 3, size, size), generator=generator(seed))
    ramp = torch.linspace(0, 255, size).expand(n, 3, size, size)
    return (0.5 * noise + 0.5 * ramp).round().to(torch.uint8)


def torchvision_boxes(size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), n=N):
    image = torch.empty(3, size, size)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return torch.tensor([RandomResizedCrop.get_params(image, list(scale), list(ratio)) for _ in range(n)])


def figures(boxes, size):
    top, left, height, width = boxes.double().unbind(1)
    return {
        "area": height * width / size**2,
        "ratio": (width / height).log(),
        "top": top / (size - height + 1),  # where it lies within its room
        "left": left / (size - width + 1),
        "height": height,
        "width": width,
    }


@pytest.fixture(scope="module", params=[256, 64])
def both_boxes(request):
    size = request.param
    return figures(resized_crop_boxes(N, size, generator()), size), figures(torchvision_boxes(size), size)


@pytest.mark.parametrize("name", ["area", "ratio", "top", "left", "height", "width"])
def test_boxes_are_distributed_as_torchvisions(both_boxes, name):
    ours, theirs = (boxes[name].numpy() for boxes in both_boxes)
    assert kstest(ours, theirs).pvalue > 0.001
    spread = theirs.std()
    assert abs(ours.mean() - theirs.mean()) < 0.08 * spread
    quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
    assert np.abs(np.quantile(ours, quantiles) - np.quantile(theirs, quantiles)).max() < 0.15 * spread


@pytest.mark.parametrize("size", [16, 64, 255])
def test_boxes_lie_inside_the_image_and_reach_its_borders(size):
    top, left, height, width = resized_crop_boxes(N, size, generator()).unbind(1)
    assert (height >= 1).all()
    assert (width >= 1).all()
    assert top.min() == left.min() == 0
    assert (top + height).max() == (left + width).max() == size
    assert len({tuple(box) for box in torch.stack([top, left, height, width], 1).tolist()}) > N / 4


def test_box_that_never_fits_is_the_whole_square_as_in_torchvision():
    wanted = torchvision_boxes(50, scale=(2, 3), n=5)
    assert torch.equal(resized_crop_boxes(5, 50, generator(), scale=(2, 3)), wanted)
    assert wanted[0].tolist() == [0, 0, 50, 50]


@pytest.mark.parametrize(("size", "crop"), [(10, 8), (10, 10), (9, 8)])
def test_random_crops_reach_every_place_and_keep_their_size(size, crop):
    boxes = random_crop_boxes(500, size, crop, generator())
    assert (boxes[:, 2:] == crop).all()
    places = set(range(size - crop + 1))
    assert set(boxes[:, 0].tolist()) == set(boxes[:, 1].tolist()) == places


@pytest.mark.parametrize(("size", "crop"), [(s, c) for s in (16, 17, 18, 19, 255, 256) for c in (16, 15, 14, 13, 7)])
def test_centre_crop_is_torchvisions(size, crop):
    pixels = pictures(2, size)
    boxes = centre_boxes(2, size, crop)
    got = native_crop(pixels, boxes, torch.zeros(2, dtype=torch.bool), crop)
    assert torch.equal(got, CenterCrop(crop)(pixels).float())


@pytest.mark.parametrize("augment", ["article", "crop", "robust", "none"])
def test_one_generator_state_one_draw(augment):
    first, again, other = (boxes_for(augment, 20, 64, 48, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert torch.equal(first[0], other[0]) == (augment == "none")


@pytest.mark.parametrize("augment", ["article", "crop", "robust"])
def test_half_of_the_images_are_flipped(augment):
    _, flips = boxes_for(augment, 4000, 64, 48, generator())
    assert flips.dtype == torch.bool
    assert abs(flips.float().mean() - 0.5) < 0.03


def test_no_augmentation_is_the_centre_unflipped():
    boxes, flips = boxes_for("none", 3, 64, 48, generator())
    assert boxes.tolist() == [[8, 8, 48, 48]] * 3
    assert not flips.any()


def test_native_crops_are_copied_exactly_and_flipped_exactly():
    pixels = pictures(4)
    boxes = torch.tensor([[0, 0, 40, 40], [24, 24, 40, 40], [3, 17, 40, 40], [3, 17, 40, 40]])
    flips = torch.tensor([False, True, False, True])
    got = native_crop(pixels, boxes, flips, 40)
    assert got.dtype == torch.float32
    for i, (top, left, _, _) in enumerate(boxes.tolist()):
        cut = pixels[i, :, top : top + 40, left : left + 40].float()
        assert torch.equal(got[i], cut.flip(2) if flips[i] else cut)


BOXES = torch.tensor([[0, 0, 64, 64], [5, 9, 50, 40], [20, 3, 21, 33], [0, 0, 1, 1], [60, 1, 4, 63], [31, 31, 32, 31]])
FLIPS = torch.tensor([False, True, False, True, True, False])


@pytest.mark.parametrize("crop", [16, 31, 48, 64, 90])
def test_both_paths_are_torchvisions_resized_crop_and_leave_the_pixels(crop):
    """On whole grey levels on a CPU; the matrices in floating point."""
    pixels, before = pictures(), pictures()
    got, by_matrix = resized_crop(pixels, BOXES, FLIPS, crop), matrix_crop(pixels, BOXES, FLIPS, crop)
    assert got.shape == (6, 3, crop, crop)
    for i, box in enumerate(BOXES.tolist()):
        wanted, exact = (
            functional.resized_crop(image, *box, [crop, crop], antialias=True)
            for image in (pixels[i], pixels[i].float())
        )
        assert torch.equal(got[i], (wanted.flip(2) if FLIPS[i] else wanted).float())
        assert (by_matrix[i] - (exact.flip(2) if FLIPS[i] else exact)).abs().max() < 1e-3
    assert torch.equal(pixels, before)


def test_drawn_boxes_give_the_same_on_both_paths():
    pixels = pictures(32, 96)
    boxes, flips = boxes_for("article", 32, 96, 64, generator())
    difference = matrix_crop(pixels, boxes, flips, 64) - resized_crop(pixels, boxes, flips, 64)
    assert difference.abs().max() <= 1.001  # rounded twice there, half a level each
    assert difference.mean().abs() < 0.05


def test_matrices_weigh_only_the_box_and_sum_to_one():
    start, length = torch.tensor([0, 7, 30]), torch.tensor([64, 20, 1])
    matrices = resize_matrices(start, length, 64, 24)
    assert matrices.shape == (3, 24, 64)
    assert (matrices >= 0).all()
    assert torch.allclose(matrices.sum(2), torch.ones(3, 24))
    for matrix, first, n in zip(matrices, start, length, strict=True):
        assert (matrix[:, :first] == 0).all()
        assert (matrix[:, first + n :] == 0).all()


def test_matrix_of_the_same_size_is_the_identity():
    assert torch.equal(resize_matrices(torch.tensor([0]), torch.tensor([9]), 9, 9)[0], torch.eye(9))


def test_robust_draws_each_step_as_often_and_as_strong_as_it_says():
    """Blur or scaling 0.5, of it a third scaled; JPEG or WebP 0.5, of it a third WebP; noise 0.3; independent of each other."""
    factor, sigma, noise, jpeg, webp, seed = (draw.numpy() for draw in degradations_for("robust", 20_000, generator()))
    quality = jpeg + webp
    soft, noisy, saved = (factor > 0) | (sigma > 0), noise > 0, quality > 0
    assert not ((factor > 0) & (sigma > 0)).any()
    assert not ((jpeg > 0) & (webp > 0)).any()
    for chosen, part in ((soft, 1 / 2), (noisy, 0.3), (saved, 1 / 2), (factor > 0, 1 / 6), (webp > 0, 1 / 6)):
        assert abs(chosen.mean() - part) < 0.015
    for one, other in ((soft, noisy), (soft, saved), (noisy, saved)):
        assert abs((one & other).mean() - one.mean() * other.mean()) < 0.015
    for strength, low, high in ((sigma, 0, 3), (factor, 0.25, 1), (noise, 0, 15)):
        drawn = strength[strength > 0]
        assert kstest((drawn - low) / (high - low), "uniform").pvalue > 0.001
    for drawn in (jpeg[jpeg > 0], webp[webp > 0]):
        assert set(drawn) == set(range(30, 101))
    assert abs(np.corrcoef(sigma[(sigma > 0) & saved], quality[(sigma > 0) & saved])[0, 1]) < 0.05
    assert len(np.unique(seed)) == len(seed)


@pytest.mark.parametrize("augment", ["article", "crop", "none"])
def test_other_augmentations_degrade_nothing_and_draw_nothing(augment):
    source = generator()
    before = source.get_state()
    assert degradations_for(augment, 50, source) is None
    assert torch.equal(source.get_state(), before)


@pytest.mark.parametrize("threads", [1, 3])
def test_each_image_goes_through_its_own_steps_in_order(threads):
    pixels = pictures(5)
    before = pixels.clone()
    what = Degradations(
        factor=torch.tensor([0, 0.5, 0, 0, 0.3, 9]),
        sigma=torch.tensor([0, 0, 1.5, 2.5, 0, 9]),
        noise=torch.tensor([0, 0, 0, 4.0, 0, 9]),
        jpeg=torch.tensor([0, 0, 0, 70, 0, 9]),
        webp=torch.tensor([0, 0, 40, 0, 0, 9]),
        seed=torch.tensor([1, 2, 3, 4, 5, 6]),
    )
    got = degraded(pixels, what, torch.tensor([0, 1, 2, 3, 4]), threads).numpy()
    images = pixels.numpy()
    assert np.array_equal(got[0], images[0])
    assert np.array_equal(got[1], degrade.resize(images[1], 0.5))
    assert np.array_equal(got[2], degrade.webp(degrade.blur(images[2], 1.5), 40))
    noisy = degrade.noise(degrade.blur(images[3], 2.5), 4.0, np.random.default_rng(4))
    assert np.array_equal(got[3], degrade.jpeg(noisy, 70))
    assert torch.equal(pixels, before)
    two = degraded(pixels[[1, 3]], what, torch.tensor([1, 3]), threads).numpy()
    assert np.array_equal(two, got[[1, 3]])


def test_robust_crops_where_crop_does():
    """The contrast between the two is the degradation alone."""
    for ours, theirs in zip(
        boxes_for("robust", 30, 64, 48, generator()), boxes_for("crop", 30, 64, 48, generator()), strict=True
    ):
        assert torch.equal(ours, theirs)
