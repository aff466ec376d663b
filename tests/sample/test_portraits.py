"""Portraits: the same for the same index, different otherwise, and drawn, not flat."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fakeface.sample import portraits
from fakeface.sample.hair import HAIR_STYLES
from fakeface.sample.painting import bell, cosine, coverage, ellipse, pink_noise, sine
from fakeface.sample.portraits import draw_portrait


def test_an_index_draws_its_own_portrait_and_always_the_same() -> None:
    portrait = draw_portrait(3)
    assert portrait.shape == (256, 256, 3)
    assert portrait.dtype == np.uint8
    assert np.array_equal(draw_portrait(3), portrait)
    assert np.abs(draw_portrait(4).astype(int) - portrait).mean() > 5


def test_portraits_are_well_exposed_and_vary() -> None:
    drawn = np.stack([draw_portrait(index) for index in range(24)]).astype(np.float32)
    means = drawn.mean(axis=(1, 2, 3))
    assert 60 < means.mean() < 190
    assert means.std() > 8
    assert (drawn.std(axis=(1, 2, 3)) > 15).all()
    assert np.mean(drawn >= 255) < 0.05


@pytest.mark.parametrize(("steepness", "low", "high"), [(1.0, 2.5, 6.5), (1.55, 5, 13)])
def test_pink_noise_has_a_falling_spectrum(steepness: float, low: float, high: float) -> None:
    """At steepness 1 power falls by 4 an octave."""
    field = pink_noise(np.random.default_rng(0), steepness)
    assert field.shape == (256, 256)
    assert field.dtype == np.float32
    assert abs(field.mean()) < 0.01
    assert field.std() == pytest.approx(1, rel=0.001)
    power = np.abs(np.fft.fft2(field)) ** 2
    radius = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None, :])
    octaves = [power[(radius >= start) & (radius < 2 * start)].mean() for start in (0.03, 0.06, 0.12, 0.24)]
    ratios = np.array(octaves[:-1]) / np.array(octaves[1:])
    assert np.all((ratios > low) & (ratios < high))


def test_sums_of_bytes_are_nearly_normal() -> None:
    numbers = bell(np.random.default_rng(0), 200, 200)
    assert abs(numbers.mean()) < 0.02
    assert numbers.std() == pytest.approx(1, rel=0.01)
    assert np.mean(np.abs(numbers) > 2) == pytest.approx(0.0455, abs=0.006)


def test_sine_and_cosine_are_close() -> None:
    turns = np.linspace(-2, 2, 999)
    assert np.abs(sine(turns) - np.sin(2 * np.pi * turns)).max() < 0.0012
    assert np.abs(cosine(turns) - np.cos(2 * np.pi * turns)).max() < 0.0012


def test_coverage_is_that_of_the_polygons_drawn_large() -> None:
    """Against Pillow at 32 times the size: an ellipse, and a triangle over it the other way round."""
    shapes = [ellipse(40, 36, 27.3, 17.6), np.array([(30.2, 20.1), (20.7, 58.4), (71.5, 50.6)])]
    picture = Image.new("L", (64 * 32, 56 * 32))
    for shape in shapes:
        ImageDraw.Draw(picture).polygon(((shape - (10, 4)) * 32).ravel().tolist(), fill=255)
    exact = np.asarray(picture.reduce(32), np.float32) / 255
    share = coverage(shapes, (slice(4, 60), slice(10, 74)))
    assert share.shape == (56, 64)
    assert np.abs(share - exact).max() < 0.3
    assert np.abs(share - exact).mean() < 0.01
    assert share.sum() == pytest.approx(exact.sum(), rel=0.005)


def test_every_hair_style_is_drawn_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for style in HAIR_STYLES:
        monkeypatch.setattr(portraits, "HAIR_STYLES", (style,))
        drawn.append(draw_portrait(3).tobytes())
    assert len(set(drawn)) == len(HAIR_STYLES) >= 5


def test_a_negative_index_is_refused() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        draw_portrait(-1)
