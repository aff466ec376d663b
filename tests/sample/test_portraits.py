"""Portraits: the same for the same seed and index, different otherwise, and drawn, not flat."""

from __future__ import annotations

import numpy as np
import pytest

from fakeface.sample import portraits
from fakeface.sample.painting import pink_noise
from fakeface.sample.portraits import HAIR_STYLES, draw_portrait


def test_portrait_is_an_rgb_image() -> None:
    portrait = draw_portrait(1, 2, size=64)
    assert portrait.shape == (64, 64, 3)
    assert portrait.dtype == np.uint8


def test_same_seed_and_index_draw_the_same_pixels() -> None:
    assert np.array_equal(draw_portrait(3, 4, size=96), draw_portrait(3, 4, size=96))


def test_another_seed_or_index_draws_another_portrait() -> None:
    portrait = draw_portrait(3, 4, size=96).astype(np.float32)
    for other in (draw_portrait(3, 5, size=96), draw_portrait(4, 4, size=96)):
        assert np.abs(portrait - other).mean() > 5


def test_portraits_are_well_exposed_and_vary() -> None:
    drawn = np.stack([draw_portrait(0, index, size=64) for index in range(24)]).astype(np.float32)
    means = drawn.mean(axis=(1, 2, 3))
    assert 60 < means.mean() < 190
    assert means.std() > 8
    assert (drawn.std(axis=(1, 2, 3)) > 15).all()
    assert np.mean(drawn >= 255) < 0.05


def test_pink_noise_has_a_falling_spectrum() -> None:
    first, second = pink_noise(np.random.default_rng(0), 128, exponent=1.0)
    assert first.shape == second.shape == (128, 128)
    assert first.dtype == second.dtype == np.float32
    assert abs(float(np.corrcoef(first.ravel(), second.ravel())[0, 1])) < 0.2
    power = np.abs(np.fft.fft2(first)) ** 2
    radius = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None, :])
    octaves = [power[(radius >= low) & (radius < 2 * low)].mean() for low in (0.03, 0.06, 0.12, 0.24)]
    ratios = np.array(octaves[:-1]) / np.array(octaves[1:])
    assert np.all((ratios > 2.5) & (ratios < 6.5))  # power falls by 4 an octave


def test_every_hair_style_is_drawn_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for style in HAIR_STYLES:
        monkeypatch.setattr(portraits, "HAIR_STYLES", (style,))
        drawn.append(draw_portrait(11, 3, size=64).tobytes())
    assert len(set(drawn)) == len(HAIR_STYLES) >= 5


@pytest.mark.parametrize(("seed", "index", "size"), [(-1, 0, 64), (0, -1, 64), (0, 0, 31)])
def test_bad_arguments_are_refused(seed: int, index: int, size: int) -> None:
    with pytest.raises(ValueError, match="seed and index"):
        draw_portrait(seed, index, size)
