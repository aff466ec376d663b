"""Degradations equal a second implementation: a file on disk, SciPy's own filter in doubles, torchvision's resizing."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torchvision.transforms.v2 import InterpolationMode, functional

from fakeface.images.degrade import blur, each, jpeg, noise, resize, webp


def picture(size=64, seed=0):
    """uint8 [3, size, size]: a smooth face-like ground with edges and some grain."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((size, size), Image.Resampling.BICUBIC)).astype(int)
    smooth[size // 4 : size // 2, size // 4 : size // 2] = 255
    return np.clip(smooth + rng.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8).transpose(2, 0, 1)


def difference(a, b):
    return np.abs(a.astype(int) - b.astype(int))


@pytest.mark.parametrize("quality", [30, 50, 65, 95, 100])
@pytest.mark.parametrize("size", [64, 97])
def test_jpeg_is_a_round_trip_through_a_file(tmp_path, quality, size):
    image = picture(size)
    Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "a.jpg", quality=quality)  # Pillow's default is 4:2:0
    with Image.open(tmp_path / "a.jpg") as file:
        assert file.layer[0][1:3] == (2, 2)  # two by two of brightness to one of colour
        wanted = np.asarray(file).transpose(2, 0, 1)
    assert np.array_equal(jpeg(image, quality), wanted)


@pytest.mark.parametrize("quality", [30, 75, 100])
def test_webp_is_a_lossy_round_trip_through_a_file(tmp_path, quality):
    image = picture()
    Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "a.webp", quality=quality, method=2)
    with Image.open(tmp_path / "a.webp") as file:
        assert np.array_equal(webp(image, quality), np.asarray(file).transpose(2, 0, 1))
    assert difference(webp(image, quality), image).max() > 0


@pytest.mark.parametrize("sigma", [0.3, 1, 2, 3, 4])
def test_blur_is_scipys_on_each_channel_within_rounding(sigma):
    image = picture()
    wanted = np.stack([gaussian_filter(channel.astype(np.float64), sigma) for channel in image])
    assert np.abs(blur(image, sigma) - wanted).max() < 0.501


@pytest.mark.parametrize("factor", [0.75, 0.5, 0.25])
def test_resize_is_torchvisions_within_rounding(factor):
    image = picture(96)
    side = round(96 * factor)
    small = functional.resize(torch.from_numpy(image), [side, side], InterpolationMode.BICUBIC, antialias=True)
    wanted = functional.resize(small, [96, 96], InterpolationMode.BICUBIC, antialias=True).numpy()
    assert difference(resize(image, factor), wanted).max() <= 2  # each resizing rounds after rows and after columns


@pytest.mark.parametrize("size", [5, 96, 97])
@pytest.mark.parametrize("factor", [0.01, 0.25, 1])
def test_resize_keeps_the_shape(size, factor):
    assert resize(picture(size), factor).shape == (3, size, size)


@pytest.mark.parametrize("change", [lambda x: blur(x, 0), lambda x: resize(x, 1), lambda x: noise(x, 0, RNG)])
def test_zero_strength_changes_nothing(change):
    assert np.array_equal(change(picture()), picture())


RNG = np.random.default_rng(0)


@pytest.mark.parametrize("sigma", [5, 10])
def test_noise_has_its_strength_in_every_channel_and_no_direction(sigma):
    grey = np.full((3, 200, 200), 128, dtype=np.uint8)
    added = noise(grey, sigma, np.random.default_rng(1)).astype(float) - 128
    assert added.std((1, 2)) == pytest.approx(sigma, rel=0.02)
    assert np.abs(added.mean((1, 2))).max() < 4 * sigma / 200  # four standard errors
    assert np.abs(np.corrcoef(added.reshape(3, -1))[0, 1]) < 0.02


@pytest.mark.parametrize("level", [0, 255])
def test_noise_is_clipped_and_never_wraps_around(level):
    noisy = noise(np.full((3, 64, 64), level, dtype=np.uint8), 10, np.random.default_rng(0)).astype(int)
    assert np.abs(noisy - level).max() < 80


@pytest.mark.parametrize(
    "change", [lambda x: jpeg(x, 50), lambda x: blur(x, 2), lambda x: resize(x, 0.5), lambda x: noise(x, 5, RNG)]
)
def test_pixels_are_uint8_and_the_original_is_left_alone(change):
    image = picture()
    changed = change(image)
    assert (changed.dtype, changed.shape) == (np.uint8, image.shape)
    assert np.array_equal(image, picture())


@pytest.mark.parametrize("threads", [1, 3])
def test_each_goes_through_all_images_with_their_numbers(threads):
    images = np.zeros((20, 3, 4, 4), dtype=np.uint8)
    changed = each(images, lambda i, image: image + np.uint8(i), threads)
    assert (changed == np.arange(20, dtype=np.uint8)[:, None, None, None]).all()
    assert not images.any()


def test_an_error_in_a_thread_is_raised():
    def fails(i, image):
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        each(np.zeros((2, 3, 4, 4), dtype=np.uint8), fails, 2)
