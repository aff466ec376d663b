"""Tools to paint a portrait: pose, curves, 1/f noise, anti-aliased masks, shades.

Head coordinates: origin at the middle of the face, x right, y down, the chin at y = 1, the skull's top at y = -1; one unit
is `Pose.scale` pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Array = NDArray[np.float32]
Window = tuple[slice, slice]

SUPERSAMPLING = 3  # masks are drawn this many times larger, then averaged down
SKIN = ((246, 214, 190), (238, 196, 166), (224, 176, 142), (204, 150, 112), (172, 118, 82), (134, 88, 60), (98, 64, 46))
HAIR = ((28, 24, 26), (52, 36, 28), (84, 54, 34), (126, 82, 46), (186, 144, 88), (216, 184, 132), (140, 58, 30),
        (168, 166, 164))  # fmt: skip


@dataclass(frozen=True)
class Pose:
    """Where the head is: centre and scale in pixels, rotation in radians, yaw as a fraction of a quarter turn."""

    x: float
    y: float
    scale: float
    angle: float
    yaw: float

    def to_pixels(self, points: Array) -> Array:
        """Head coordinates (n, 2) to pixels (n, 2)."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        rotation = np.array([[cosine, sine], [-sine, cosine]], np.float32)
        return np.asarray(points @ rotation * self.scale + (self.x, self.y), np.float32)

    def to_head(self, size: int) -> tuple[Array, Array]:
        """Head coordinates x and y, each (size, size) float32, of every pixel."""
        rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) + 0.5
        dx, dy = (columns - self.x) / self.scale, (rows - self.y) / self.scale
        cosine, sine = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        return dx * cosine + dy * sine, dy * cosine - dx * sine

    def turned(self, points: Array) -> Array:
        """Features on the face, moved sideways by the yaw: the nearer the face's middle, the farther."""
        depth = np.sqrt(np.clip(1 - (points[:, 0] / 0.9) ** 2, 0, 1))
        return np.stack([points[:, 0] + self.yaw * depth, points[:, 1]], axis=1).astype(np.float32)


@lru_cache(maxsize=4)
def _pink_filter(size: int, exponent: float) -> Array:
    """Amplitude 1 / frequency ** exponent over an FFT grid, zero at the mean."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :])
    frequency[0, 0] = np.inf
    return (frequency**-exponent).astype(np.float32)


def pink_noise(rng: np.random.Generator, size: int, exponent: float = 1.0) -> tuple[Array, Array]:
    """Two independent (size, size) float32 fields with a 1/f**exponent amplitude spectrum, mean 0, variance 1."""
    spectrum = rng.standard_normal((size, 2 * size), dtype=np.float32).view(np.complex64)
    field = np.fft.ifft2(spectrum * _pink_filter(size, exponent))
    first, second = field.real.astype(np.float32), field.imag.astype(np.float32)
    return first / first.std(), second / second.std()


def curve(points: list[tuple[float, float]], closed: bool = False, steps: int = 8) -> Array:
    """A Catmull-Rom spline through the points: (n, 2) float32."""
    p = np.asarray(points, np.float32)
    p = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([p[:1], p, p[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False, dtype=np.float32)[None, :, None]
    a, b, c, d = p[:-3, None], p[1:-2, None], p[2:-1, None], p[3:, None]
    spline = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    flat = spline.reshape(-1, 2)
    return np.asarray(flat if closed else np.concatenate([flat, p[-1:]]), np.float32)


def ellipse(x: float, y: float, rx: float, ry: float) -> Array:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1).astype(np.float32)


def stroke(line: Array, width: float, start: float = 0.15, end: float = 0.15) -> Array:
    """The outline of a line that is `width` thick at its middle and tapers to `start` and `end` of that."""
    t = np.linspace(0, 1, len(line))
    taper = np.where(t < 0.5, start + (1 - start) * np.sin(np.pi * t), end + (1 - end) * np.sin(np.pi * t))
    direction = np.gradient(line, axis=0)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1) / (np.hypot(*direction.T)[:, None] + 1e-6)
    offset = normal * (0.5 * width * taper)[:, None]
    return np.concatenate([line + offset, (line - offset)[::-1]]).astype(np.float32)


class Painter:
    """A (size, size, 3) float32 image in 0..1 with the textures and random choices of one portrait."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        unit = size / 256
        self.size, self.rng = size, rng
        self.pose = Pose(
            x=size / 2 + rng.uniform(-14, 14) * unit,
            y=size * 0.45 + rng.uniform(-8, 8) * unit,
            scale=rng.uniform(64, 78) * unit,
            angle=rng.uniform(-0.14, 0.14),
            yaw=rng.uniform(-0.13, 0.13),
        )
        self.image = np.zeros((size, size, 3), np.float32)
        self.x, self.y = self.pose.to_head(size)
        texture, self.folds = pink_noise(rng, size, 1.0)
        self.texture = texture * np.float32(rng.uniform(0.3, 1.3))  # some pictures are smoother than others
        self.soft, self.clouds = pink_noise(rng, size, 1.6)
        self.light = rng.uniform(-0.75, 0.75)  # where the lamp is: -1 left, 1 right
        self.ambient = rng.uniform(0.5, 0.68)
        self.skin = self.colour(SKIN)
        self.hair = self.colour(HAIR if self.skin.mean() > 0.5 else HAIR[:4], 0.06)  # darker skin, darker hair
        self.part = float(rng.uniform(-0.3, 0.3))  # the parting, in head coordinates
        self.age, self.blush = float(rng.beta(1.2, 2.5)), float(rng.uniform(0.05, 0.4))
        self.grain = rng.standard_normal(4096, dtype=np.float32)

    def colour(self, palette: tuple[tuple[int, int, int], ...], spread: float = 0.02) -> Array:
        """A colour of the palette or between two neighbours, a little off: (3,) float32 in 0..1."""
        position = self.rng.uniform(0, len(palette) - 1)
        low = min(int(position), len(palette) - 2)
        pair = np.asarray(palette[low : low + 2], np.float32) / 255
        mixed = pair[0] + (pair[1] - pair[0]) * (position - low)
        return np.clip(mixed * (1 + self.rng.normal(0, spread, 3)), 0.02, 0.98).astype(np.float32)

    def mask(self, shapes: list[Array], blur: float = 0, window: Window | None = None) -> tuple[Window, Array]:
        """The union of polygons in pixels as a mask (h, w) in 0..1 and the window of the image that it covers."""
        if window is None:
            points = np.concatenate(shapes)
            margin = 2 + 3 * blur
            low = np.clip(np.floor(points.min(0) - margin), 0, self.size - 1).astype(int)
            high = np.clip(np.ceil(points.max(0) + margin), low + 1, self.size).astype(int)
            window = slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
        top, left = window[0].start, window[1].start
        height, width = window[0].stop - top, window[1].stop - left
        picture = Image.new("L", (width * SUPERSAMPLING, height * SUPERSAMPLING))
        draw = ImageDraw.Draw(picture)
        for shape in shapes:
            draw.polygon(((shape - (left, top)) * SUPERSAMPLING).ravel().tolist(), fill=255)
        picture = picture.reduce(SUPERSAMPLING)
        if blur:
            picture = picture.filter(ImageFilter.GaussianBlur(blur))
        return window, np.asarray(picture, np.float32) / np.float32(255)

    def fill(self, window: Window, mask: Array, colour: Array) -> None:
        """Blend a colour (3,) or a window of colours (h, w, 3) through the mask."""
        area = self.image[window]
        area += mask[..., None] * (colour - area)

    def head(self, points: Array, turn: bool = False) -> Array:
        return self.pose.to_pixels(self.pose.turned(points) if turn else points)

    def feature(self, points: Array, colour: Array, opacity: float = 1, blur: float = 0) -> None:
        """Fill a polygon in head coordinates that turns with the face; blur in head units."""
        window, mask = self.mask([self.head(points, turn=True)], blur * self.pose.scale)
        self.fill(window, mask * opacity, colour)

    def strands(self, across: Array, density: float) -> Array:
        """Smooth noise along one coordinate, `density` strands a unit: the shape of `across`, about -1..1."""
        position = across * np.float32(density) + 1000
        whole = np.floor(position)
        part, first = position - whole, whole.astype(np.int64) % (len(self.grain) - 1)
        part = part * part * (3 - 2 * part)
        return np.asarray(self.grain[first] * (1 - part) + self.grain[first + 1] * part, np.float32) * np.float32(0.6)

    def shaded(self, window: Window, colour: Array, shade: Array) -> Array:
        """The colour under a shade (h, w); shadows keep more red than blue, as skin's do."""
        level = np.log(np.clip(shade, 0.05, 1.6))[..., None] * np.array([0.85, 1.0, 1.1], np.float32)
        return np.asarray(colour * np.exp(level), np.float32)
