"""Tools to paint a portrait: random numbers, pose, curves, noise, anti-aliased masks, shades.

They give the same bits on every processor. Floats meet only what IEEE 754 rounds in one way, + - * / and square roots,
element by element. numpy's sin, exp, powers, hypot, means, matrix products and FFTs differ in the last bits between
processors, and so do `rng.uniform` (a fused multiply-add on some) and `rng.normal` (the system's mathematical library).

Head coordinates: origin at the middle of the face, x right, y down, the chin at y = 1, the skull's top at y = -1; one unit
is `Pose.scale` pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Array = NDArray[np.floating[Any]]
Window = tuple[slice, slice]
Points = Sequence[tuple[float, float]]
T = TypeVar("T")

SIZE = 256  # side of a portrait in pixels
POINTS = 3  # at which a mask is sampled along a pixel's side
DOWN = np.array([0.0, 1.0])
WHOLE = (slice(0, SIZE), slice(0, SIZE))
SKIN = ((246, 214, 190), (238, 196, 166), (224, 176, 142), (204, 150, 112), (172, 118, 82), (134, 88, 60), (98, 64, 46))
HAIR = ((28, 24, 26), (52, 36, 28), (84, 54, 34), (126, 82, 46), (186, 144, 88), (216, 184, 132), (140, 58, 30),
        (168, 166, 164))  # fmt: skip


def bell(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Near-normal random numbers of mean 0 and variance 1: sums of eight random bytes."""
    total = rng.integers(0, 256, (8, *shape), np.uint8).sum(axis=0, dtype=np.int32)
    return (total - 1020).astype(np.float32) / np.float32(math.sqrt(8 * (256**2 - 1) / 12))


def pink_noise(rng: np.random.Generator, steepness: float = 1.0) -> NDArray[np.float32]:
    """A (256, 256) float32 field of mean 0 and variance 1, of amplitude about 1 / frequency (or steeper).

    Starting from 2 x 2 the field is doubled by linear interpolation and noise is added, until it is large enough;
    `steepness` is the weight of the coarser field relative to the noise.
    """
    field = bell(rng, 2, 2)
    while len(field) < SIZE:
        for axis in (0, 1):
            field = field.repeat(2, axis)
            field = 0.5 * field + 0.25 * (np.roll(field, 1, axis) + np.roll(field, -1, axis))
        noise = bell(rng, *field.shape)
        field = steepness * field + (noise if len(noise) < SIZE else 0.75 * noise)  # of the finest octave, a part
    levels = np.rint(field * 256).astype(np.int64)  # sums of integers do not depend on their order
    levels -= levels.sum() // levels.size
    return (levels / math.sqrt(int((levels * levels).sum()) / levels.size)).astype(np.float32)


def sine(turns: Any) -> Any:
    """sin(2 pi turns) to 0.001, of numbers and arrays: a parabola for each half turn, bent a little."""
    turns = turns - np.floor(turns + 0.5)
    bow = turns * (8 - 16 * np.abs(turns))
    return bow * (0.775 + 0.225 * np.abs(bow))


def cosine(turns: Any) -> Any:
    return sine(turns + 0.25)


@dataclass(frozen=True)
class Pose:
    """Where the head is: centre and scale in pixels, lean (sine of the angle), yaw as a fraction of a quarter turn."""

    x: float
    y: float
    scale: float
    lean: float
    yaw: float

    def to_pixels(self, points: Array) -> Array:
        """Head coordinates (n, 2) to pixels (n, 2)."""
        x, y, upright = points[:, 0], points[:, 1], math.sqrt(1 - self.lean * self.lean)
        dx, dy = x * upright - y * self.lean, x * self.lean + y * upright
        return np.stack([dx * self.scale + self.x, dy * self.scale + self.y], axis=1)

    def to_head(self) -> tuple[Array, Array]:
        """Head coordinates x and y, each (256, 256) float32, of every pixel."""
        rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5
        dx, dy = (columns - self.x) / self.scale, (rows - self.y) / self.scale
        upright = math.sqrt(1 - self.lean * self.lean)
        return dx * upright + dy * self.lean, dy * upright - dx * self.lean

    def turned(self, points: Array) -> Array:
        """Features on the face, moved sideways by the yaw: the nearer the face's middle, the farther."""
        side = points[:, 0] / 0.9
        return np.stack([points[:, 0] + self.yaw * np.sqrt(np.clip(1 - side * side, 0, 1)), points[:, 1]], axis=1)


def mirrored(left: Points) -> list[tuple[float, float]]:
    """The points of the left half, then those of the right half back to the start's height; a middle one stands once."""
    return [*left, *[(-x, y) for x, y in reversed(left) if x != 0]]


def curve(points: Points, closed: bool = False, steps: int = 8) -> Array:
    """A Catmull-Rom spline through the points: (n, 2)."""
    p = np.asarray(points)
    p = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([p[:1], p, p[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    a, b, c, d = p[:-3, None], p[1:-2, None], p[2:-1, None], p[3:, None]
    spline = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * b - a - 3 * c + d)))
    flat = spline.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, p[-1:]])


def ellipse(x: float, y: float, rx: float, ry: float) -> Array:
    turns = np.arange(40) / 40
    return np.stack([x + rx * cosine(turns), y + ry * sine(turns)], axis=1)


def stroke(line: Array, width: float, start: float = 0.15, end: float = 0.15) -> Array:
    """The outline of a line that is `width` thick at its middle and tapers to `start` and `end` of that."""
    t = np.linspace(0, 1, len(line))
    least = np.where(t < 0.5, start, end)
    taper = least + (1 - least) * 4 * t * (1 - t)
    dx, dy = np.gradient(line, axis=0).T
    offset = np.stack([-dy, dx], axis=1) * (0.5 * width * taper / (np.sqrt(dx * dx + dy * dy) + 1e-6))[:, None]
    return np.concatenate([line + offset, (line - offset)[::-1]])


def coverage(shapes: Sequence[Array], window: Window) -> NDArray[np.float32]:
    """How much of each pixel of the window is in one of the polygons (n, 2): (h, w) float32, of 3 x 3 points a pixel.

    Pillow's polygons would do, but for the C compiler's freedom to round their edges. Coordinates are integers here, in
    eighths of the points' distance; each edge adds 1 or -1 to the points on its right, so that inside it is not 0.
    """
    height, width = ((side.stop - side.start) * POINTS for side in window)
    origin, ends, turns = (window[1].start, window[0].start), [], []
    for shape in shapes:
        start = np.floor((shape - origin) * (8 * POINTS)).astype(np.int64)
        end = np.roll(start, -1, axis=0)
        area = int((start[:, 0] * end[:, 1] - start[:, 1] * end[:, 0]).sum())
        ends.append(np.concatenate([start, end], axis=1))
        turns.append(
            np.where(end[:, 1] > start[:, 1], 1, -1) * (1 if area > 0 else -1)
        )  # all shapes the same way round
    x0, y0, x1, y1 = np.concatenate(ends).T
    first, last = (np.clip((y + 3) // 8, 0, height) for y in (np.minimum(y0, y1), np.maximum(y0, y1)))
    rows = last - first  # that the edge crosses; row r is at 8 r + 4
    edge = np.repeat(np.arange(len(rows)), rows)
    row = np.arange(len(edge)) + np.repeat(first - (np.cumsum(rows) - rows), rows)
    x0, y0, dx, dy = x0[edge], y0[edge], (x1 - x0)[edge], (y1 - y0)[edge]
    column = np.clip((x0 * dy + dx * (8 * row + 4 - y0) + 4 * dy) // (8 * dy), 0, width)
    steps = np.zeros((height, width + 1), np.int8)  # a point is in far fewer than 128 polygons
    np.add.at(steps, (row, column), np.concatenate(turns)[edge])
    inside = steps.cumsum(axis=1, dtype=np.int8)[:, :-1] != 0
    points = inside.reshape(-1, POINTS, width).sum(axis=1, dtype=np.uint8)
    return points.reshape(len(points), -1, POINTS).sum(axis=2, dtype=np.float32) / np.float32(POINTS * POINTS)


class Painter:
    """A (256, 256, 3) float32 image in 0..1 with the textures and random choices of one portrait."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.pose = Pose(
            x=SIZE / 2 + self.between(-14, 14),
            y=SIZE * 0.45 + self.between(-8, 8),
            scale=self.between(64, 78),
            lean=self.between(-0.14, 0.14),
            yaw=self.between(-0.13, 0.13),
        )
        self.image = np.zeros((SIZE, SIZE, 3), np.float32)
        self.x, self.y = self.pose.to_head()
        self.texture = pink_noise(rng) * self.between(0.3, 1.3)  # some pictures are smoother than others
        self.folds, self.soft, self.clouds = pink_noise(rng), pink_noise(rng, 1.55), pink_noise(rng, 1.55)
        self.light = self.between(-0.75, 0.75)  # where the lamp is: -1 left, 1 right
        self.ambient = self.between(0.5, 0.68)
        self.skin = self.colour(SKIN)
        self.hair = self.colour(HAIR if self.skin[1] > 0.47 else HAIR[:4], 0.06)  # darker skin, darker hair
        self.part = self.between(-0.3, 0.3)  # the parting, in head coordinates
        self.age, self.blush = min(rng.random(), rng.random()), self.between(0.05, 0.4)
        self.grain = bell(rng, 4096)

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.rng.random()

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.rng.integers(len(options)))]

    def colour(self, palette: Sequence[tuple[int, int, int]], spread: float = 0.02) -> Array:
        """A colour of the palette or between two neighbours, a little off: (3,) float32 in 0..1."""
        position = self.between(0, len(palette) - 1)
        low = int(position)
        one, two = np.array(palette[low : low + 2]) / 255
        mixed = (one + (two - one) * (position - low)) * (1 + spread * bell(self.rng, 3))
        return np.clip(mixed, 0.02, 0.98).astype(np.float32)

    def mask(self, shapes: Sequence[Array], blur: float = 0, window: Window | None = None) -> tuple[Window, Array]:
        """The union of polygons in pixels as a mask (h, w) in 0..1 and the window of the image that it covers."""
        if window is None:
            points = np.concatenate(shapes)
            margin = 2 + 3 * blur
            low = np.clip(np.floor(points.min(0) - margin), 0, SIZE - 1).astype(int)
            high = np.clip(np.ceil(points.max(0) + margin), low + 1, SIZE).astype(int)
            window = slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
        share = coverage(shapes, window)
        if blur:
            # A Gaussian as three box filters of a radius in 1/64 pixels: Pillow's own rounds as the C compiler likes.
            picture = Image.fromarray(np.rint(share * 255).astype(np.uint8))
            box = ImageFilter.BoxBlur(round(32 * (math.sqrt(4 * blur * blur + 1) - 1)) / 64)
            share = np.asarray(picture.filter(box).filter(box).filter(box), np.float32) / np.float32(255)
        return window, share

    def fill(self, window: Window, mask: Array, colour: Array) -> None:
        """Blend a colour (3,) or a window of colours (h, w, 3) through the mask."""
        area = self.image[window]
        area += mask[..., None] * (np.asarray(colour, np.float32) - area)

    def head(self, points: Array, turn: bool = True) -> Array:
        return self.pose.to_pixels(self.pose.turned(points) if turn else points)

    def feature(self, points: Array, colour: Array, opacity: float = 1, blur: float = 0, turn: bool = True) -> None:
        """Fill a polygon in head coordinates, by default one that turns with the face; blur in head units."""
        window, mask = self.mask([self.head(points, turn)], blur * self.pose.scale)
        self.fill(window, mask * opacity, colour)

    def strands(self, across: Array, density: float) -> Array:
        """Smooth noise along one coordinate, `density` strands a unit: the shape of `across`, about -1..1."""
        position = across * density + 1000
        whole = np.floor(position)
        part, first = position - whole, whole.astype(np.int64) % (len(self.grain) - 1)
        part = part * part * (3 - 2 * part)
        return np.float32(0.6) * (self.grain[first] * (1 - part) + self.grain[first + 1] * part)

    def shaded(self, colour: Array, shade: Array) -> Array:
        """The colour under a shade (h, w); shadows keep more red than blue, as skin's do."""
        level = np.clip(shade, 0.05, 1.6)[..., None]
        tint = np.array([0.17, 0, -0.1], np.float32)
        return colour * level * (1 + tint * (1 - level))
