"""Spectra, rings and residuals against plain definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakeface.audit import spectra
from fakeface.audit.spectra import Rings, look, median_residual, power_spectrum, whole_plane
from fakeface.split.pairs import perceptual_hash

RNG = np.random.default_rng(0)


@given(st.integers(3, 20), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_the_residual_is_the_pixel_less_the_median_of_nine(size, seed):
    grey = np.random.default_rng(seed).integers(0, 256, (2, size, size), dtype=np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(grey, (3, 3), axis=(1, 2))
    median = np.median(windows.reshape(*windows.shape[:3], 9), axis=-1)
    assert np.array_equal(median_residual(grey), grey[:, 1:-1, 1:-1] - median)


@pytest.mark.parametrize("size", [16, 17, 96])
def test_half_a_plane_becomes_the_whole_one(size):
    grey = RNG.random((3, size, size), dtype=np.float32)
    window = np.outer(np.hanning(size), np.hanning(size))
    waves = np.fft.fft2((grey - grey.mean((1, 2), keepdims=True)) * window)
    wanted = np.fft.fftshift(np.abs(waves) ** 2, axes=(1, 2))
    assert np.allclose(whole_plane(power_spectrum(grey)), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [16, 17, 96])
def test_rings_are_means_over_equal_distances(size):
    half = RNG.random((2, size, size // 2 + 1)).astype(np.float32)
    y = np.minimum(np.arange(size), size - np.arange(size))
    distance = np.rint(np.hypot(y[:, None], np.arange(size // 2 + 1)[None]))
    wanted = [[image[distance == r].mean() for r in range(size // 2 + 1)] for image in half]
    assert np.allclose(Rings(size).mean(half), wanted, atol=1e-5)


def test_a_pattern_of_period_4_stands_out_at_a_quarter():
    wave = 20 * np.cos(np.arange(64) * np.pi / 2)
    grey = (128 + wave[None, :, None] + RNG.normal(0, 1, (1, 64, 64))).astype(np.float32)
    curve = Rings(64).mean(power_spectrum(grey))[0]
    assert curve[4:].argmax() + 4 == 16  # a quarter cycle a pixel of 64


def test_one_pass_gives_each_image_its_features_and_each_class_its_means(monkeypatch):
    pixels = RNG.integers(0, 256, (7, 3, 32, 32), dtype=np.uint8)
    labels = np.array([0, 1, 0, 1, 1, 0, 0])
    seen = look(pixels, labels, np.arange(7))
    assert seen.hashes.tolist() == [perceptual_hash(image) for image in pixels]
    assert np.allclose(seen.colour, pixels.mean((2, 3)), atol=1e-3)
    blocks = pixels.reshape(7, 3, 8, 4, 8, 4).mean((3, 5)).transpose(0, 2, 3, 1).reshape(7, -1)
    assert np.abs(seen.thumbnail - blocks).max() <= 1  # Pillow rounds twice, by rows and by columns
    assert (seen.spectrum.shape, seen.residual.shape) == ((2, 32, 32), (2, 30, 30))
    monkeypatch.setattr(spectra, "BATCH", 3)  # other batches, the same figures
    kept = np.array([1, 2, 6])  # none of the second batch
    again = look(pixels, labels, kept)
    for name in ("radial", "colour", "thumbnail"):
        assert np.array_equal(getattr(again, name), getattr(seen, name)[kept])
    assert np.allclose(again.spectrum, seen.spectrum)
    assert np.allclose(again.residual, seen.residual)
