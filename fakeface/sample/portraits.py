"""Portraits drawn by code: the real class of the embedded sample.

A portrait is painted in layers (background, back hair, body, head, features, front hair), each an anti-aliased
mask filled with a shaded, textured colour, with the tools of `painting`. Everything is chosen from one random generator,
seeded by the portrait's index, so portrait i does not depend on how many are drawn.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fakeface.sample.hair import HAIR_STYLES, back_hair, front_hair
from fakeface.sample.painting import (
    DOWN,
    SIZE,
    WHOLE,
    Array,
    Painter,
    Pose,
    bell,
    cosine,
    curve,
    ellipse,
    mirrored,
    sine,
    stroke,
)

EYES = ((84, 56, 34), (112, 78, 44), (92, 118, 74), (84, 122, 152), (110, 134, 146), (58, 42, 32))
CLOTHES = ((52, 72, 110), (132, 50, 54), (60, 92, 76), (206, 200, 190), (50, 50, 56), (180, 140, 80), (116, 92, 132),
           (92, 132, 150), (226, 224, 226), (196, 110, 92))  # fmt: skip
BACKDROP = ((120, 140, 150), (176, 168, 156), (96, 110, 98), (148, 122, 110), (92, 98, 118), (200, 196, 190),
            (126, 152, 166), (168, 140, 132))  # fmt: skip
NECKLINES = {"crew": 0.24, "stripes": 0.24, "shirt": 0.4, "vneck": 0.62}
BACKGROUNDS = ("gradient", "bokeh", "stripes", "clouds")


def _background(p: Painter) -> None:
    one, two = p.colour(BACKDROP, 0.05), p.colour(BACKDROP, 0.05)
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE - 0.5
    turn, kind = p.rng.random(), p.pick(BACKGROUNDS)
    across = x * float(cosine(turn)) + y * float(sine(turn)) + 0.5
    if kind == "stripes":
        across = 0.5 + np.clip(sine(across * p.between(3, 10)), -0.35, 0.35)
    elif kind == "clouds":
        across = 0.5 + 0.3 * p.clouds
    p.image[:] = one + np.clip(across, 0, 1)[..., None] * (two - one)
    if kind == "bokeh":
        for _ in range(p.rng.integers(8, 20)):
            radius = p.between(5, 20)
            window, mask = p.mask([ellipse(p.between(0, SIZE), p.between(0, SIZE), radius, radius)], blur=1.6)
            p.fill(window, mask * p.between(0.1, 0.4), p.colour(BACKDROP, 0.1) * 1.25)
    vignette = 1 - p.between(0.2, 0.7) * (x * x + y * y)
    p.image *= (vignette + p.between(0.015, 0.04) * p.texture + 0.02 * p.soft)[..., None]


def _body(p: Painter, skin: Array) -> None:
    """Neck, shoulders and a garment; the body keeps upright while the head leans."""
    pose = p.pose
    body = Pose(pose.x - pose.lean * pose.scale, pose.y, pose.scale, lean=0, yaw=0)
    wide, drop, neck = p.between(1.25, 1.65), p.between(1.42, 1.55), p.between(0.36, 0.46)
    x, y = body.to_head()
    half = np.clip(x / wide, -1, 1)
    shade = 0.78 + 0.3 * p.light * half - 0.18 * half * half + 0.03 * p.folds + 0.06 * p.soft
    garment, colour, second = p.pick(tuple(NECKLINES)), p.colour(CLOTHES, 0.06), p.colour(CLOTHES, 0.06)
    depth, fabric = NECKLINES[garment], colour
    if garment == "stripes":
        band = np.clip(3 * sine((y + 0.05 * x * x) * p.between(3.2, 5.7)), 0, 1)
        fabric = colour + band[..., None] * (second - colour)
    cloth = fabric * np.clip(shade, 0.1, 1.5)[..., None]
    outline = mirrored([(-neck - 0.02, 1.12), (-neck - 0.2, drop - 0.14), (-wide * 0.8, drop + 0.08),
                        (-wide, drop + 0.4), (-wide - 0.12, 3.4)][::-1])  # fmt: skip
    window, mask = p.mask([body.to_pixels(curve(outline))], window=WHOLE)
    p.fill(window, mask, cloth)
    shoulder = (-neck - 0.1, drop - 0.16)
    if depth < 0.3:  # a ribbed collar round the neck
        base = [shoulder, (-neck * 0.62, drop + depth * 0.45), (0, drop + depth * 0.72)]
        window, mask = p.mask([body.to_pixels(stroke(curve(mirrored(base)), 0.17, 0.9, 0.9))])
        p.fill(window, mask, cloth[window] * 0.82)
    else:
        base = [shoulder, (0, drop - 0.1 + depth)]
    opening = curve(mirrored([(-neck, 0.4), (-neck, 1.15), *base]), steps=2 if depth > 0.3 else 8)
    window, mask = p.mask([body.to_pixels(opening)])
    x, y = x[window], np.clip(y[window] - 0.95, 0, None)
    shadow = 1 / (1 + y * (3 + 6 * y))  # what the chin throws on the neck
    throat = 0.86 + 0.35 * p.light * x - 0.5 * x * x + 0.02 * p.texture[window]
    p.fill(window, mask, p.shaded(skin, throat * (1 - 0.42 * shadow)))
    if garment == "shirt":
        flap = np.array([(neck * 0.98, 1.1), (neck + 0.2, drop - 0.12), (neck * 0.9, drop + 0.15),
                         (0.03, drop + depth - 0.12), (neck * 0.55, drop)])  # fmt: skip
        for side in (-1, 1):
            window, mask = p.mask([body.to_pixels(flap * (side, 1))])
            p.fill(window, mask, colour * 1.12 * np.clip(shade[window] + 0.05, 0.1, 1.5)[..., None])
        buttons = [body.to_pixels(ellipse(0, drop + depth + level, 0.035, 0.035)) for level in (0.08, 0.38, 0.68)]
        window, mask = p.mask(buttons)
        p.fill(window, mask, second)


def _head(p: Painter, skin: Array, jaw: float, width: float) -> None:
    """Ears and the face with its light: an ellipsoid under an ambient and a directional lamp, plus skin texture."""
    for side in (-1, 1):
        ear = curve([(width * 0.93, -0.14), (width + 0.12, -0.16), (width + 0.13, 0.1), (width + 0.03, 0.34),
                     (width * 0.9, 0.28)], closed=True)  # fmt: skip
        inner = stroke(curve([(width + 0.07, -0.08), (width + 0.08, 0.1), (width + 0.01, 0.22)]), 0.05)
        tone, aside = skin * (0.8 + 0.2 * side * p.light), (p.pose.yaw * 0.3, 0)
        p.feature(ear * (side, 1) - aside, tone * (1, 0.93, 0.9), turn=False)
        p.feature(inner * (side, 1) - aside, tone * 0.62, 0.5, 0.02, turn=False)
    turns = np.arange(72) / 72
    across, up = sine(turns), -cosine(turns)
    narrow, size = 1 - jaw * np.clip(up, 0, 1) * np.clip(up, 0, 1), np.abs(across)
    full = np.sign(across) * (0.75 * size + 0.25 * np.sqrt(size))  # fuller at the sides than an ellipse
    window, mask = p.mask([p.head(np.stack([width * full * narrow, up], axis=1), turn=False)])
    u, v = p.x[window] / (width * 1.04), p.y[window] / 1.06
    out = np.sqrt(np.clip(1 - u * u - v * v, 0.02, 1))
    facing = (u * p.light - v * 0.35 + out * 0.85) / math.sqrt(p.light * p.light + 0.845)
    shade = p.ambient + (1.1 - p.ambient) * np.clip(facing, 0, 1) + 0.014 * p.texture[window] + 0.012 * p.soft[window]
    p.fill(window, mask, p.shaded(skin, shade))


def _eyes(p: Painter, skin: Array) -> None:
    gap, half, tall = p.between(0.29, 0.34), p.between(0.125, 0.155), p.between(0.05, 0.078)
    tilt, iris = p.between(-0.02, 0.035), p.colour(EYES, 0.1)
    brow, thick, arch = p.hair * 0.72, p.between(0.045, 0.085), p.between(0.02, 0.07)
    gaze_x, gaze_y = p.between(-0.03, 0.03), p.between(-0.018, 0.004)
    for side in (-1, 1):
        x = side * gap
        p.feature(ellipse(x, -0.06, half * 1.35, 0.15), skin * 0.6, 0.34, 0.07)
        inner, outer = (x - side * half, 0.012), (x + side * half, 0.012 - tilt)
        upper = curve([inner, (x - side * half * 0.35, -tall), (x + side * half * 0.4, -tall * 0.95 - tilt), outer])
        lower = curve([outer, (x + side * half * 0.35, tall * 0.72 - tilt * 0.5), (x - side * half * 0.4, tall * 0.7),
                       inner])  # fmt: skip
        window, almond = p.mask([p.head(np.concatenate([upper, lower]))])
        under_lid = np.clip(0.98 + (p.y[window] + tall * 0.4) * 4, 0.55, 0.95)[..., None]
        p.fill(window, almond, under_lid * (0.97, 0.95, 0.94))
        centre, radius = (x + gaze_x, gaze_y), tall * 1.02
        for colour, reach in ((iris * 0.45, 1.0), (iris, 0.86), (iris * 1.35, 0.62), (np.full(3, 0.03), 0.42)):
            disc = p.head(ellipse(*centre, radius * reach, radius * reach))
            _, mask = p.mask([disc], 0.008 * p.pose.scale, window)
            p.fill(window, mask * almond, colour)
        glint = ellipse(centre[0] + 0.4 * radius * np.sign(p.light), centre[1] - radius * 0.4, 0.019, 0.019)
        _, mask = p.mask([p.head(glint)], window=window)
        p.fill(window, mask * almond, np.full(3, 0.97))
        p.feature(stroke(upper, 0.034, 0.5, 0.8), brow * 0.3, 0.92)
        p.feature(stroke(lower, 0.014), skin * 0.42, 0.6)
        p.feature(stroke(upper - tall * 0.55 * DOWN, 0.018), skin * 0.5, 0.7, 0.006)
        p.feature(stroke(lower + 0.075 * DOWN, 0.02), skin * 0.66, p.age * 0.8, 0.012)
        lift = -0.17 - tall
        arc = curve([(x - side * half * 1.2, lift + 0.02), (x, lift - arch), (x + side * half * 1.5, lift + 0.02)])
        p.feature(stroke(arc, thick, 0.75, 0.1), brow, 0.82, 0.008)
        flick = np.array([(0, 0), (side * 0.03, -0.024), (side * 0.06, -0.03)])  # single hairs roughen the brow's edge
        roots = arc[2:-2] + 0.008 * bell(p.rng, len(arc) - 4, 2)
        window, mask = p.mask([p.head(stroke(root + flick, 0.016)) for root in roots])
        p.fill(window, mask * 0.7, brow * 0.8)


def _nose_and_mouth(p: Painter, skin: Array) -> None:
    wide, tip, dark = p.between(0.1, 0.145), p.between(0.32, 0.38), -np.sign(p.light)
    bridge = curve([(dark * 0.05, -0.12), (dark * 0.055, 0.1), (dark * wide * 0.9, tip - 0.04), (dark * 0.02, tip)])
    p.feature(stroke(bridge, 0.085, 0.3, 0.5), skin * 0.66, 0.5, 0.03)
    p.feature(ellipse(0, tip + 0.045, wide * 0.95, 0.045), skin * 0.55, 0.5, 0.025)
    p.feature(ellipse(-dark * 0.02, tip - 0.06, 0.05, 0.055), np.clip(skin * 1.3, 0, 1), 0.42, 0.025)
    p.feature(ellipse(-dark * 0.02, 0.05, 0.022, 0.16), np.clip(skin * 1.25, 0, 1), 0.3, 0.02)
    for side in (-1, 1):
        wing = curve([(side * wide * 0.95, tip - 0.08), (side * wide * 1.12, tip), (side * wide * 0.7, tip + 0.03)])
        p.feature(stroke(wing, 0.028), skin * 0.5, 0.65, 0.008)
        p.feature(ellipse(side * wide * 0.5, tip + 0.018, 0.032, 0.016), skin * 0.28, 0.8, 0.006)
        fold = curve([(side * wide * 1.35, tip - 0.02), (side * 0.27, tip + 0.15), (side * 0.29, tip + 0.27)])
        p.feature(stroke(fold, 0.03), skin * 0.6, 0.15 + p.age * 0.7, 0.012)
        p.feature(ellipse(side * 0.42, 0.3, 0.17, 0.13), skin * (1.06, 0.72, 0.7), p.blush, 0.08)
    y, half, smile = tip + p.between(0.23, 0.28), p.between(0.19, 0.26), p.between(-0.01, 0.05)
    full, lip = p.between(0.04, 0.072), skin * (p.between(0.78, 0.95), p.between(0.5, 0.66), p.between(0.5, 0.68))
    seam = curve(mirrored([(-half, y - smile), (-half * 0.45, y + 0.004), (0, y + 0.008)]))
    top = curve(mirrored([(half, y - smile), (half * 0.4, y - full * 0.8), (0.05, y - full), (0, y - full * 0.8)]))
    low = curve(mirrored([(half, y - smile), (half * 0.45, y + full * 1.05), (0, y + full * 1.35)]))
    p.feature(ellipse(0, y + full * 1.35 + 0.06, half * 0.6, 0.03), skin * 0.6, 0.4, 0.025)
    p.feature(np.concatenate([seam, low]), lip, 0.9, 0.006)
    p.feature(np.concatenate([seam, top]), lip * 0.8, 0.9, 0.006)
    p.feature(ellipse(dark * -0.05, y + full * 0.7, half * 0.32, 0.014), np.clip(lip * 1.5, 0, 1), 0.45, 0.012)
    if smile > 0.025 and p.rng.random() < 0.6:  # an open smile
        teeth = np.concatenate([seam[4:-4], (seam[4:-4] + 0.035 * DOWN)[::-1]])
        p.feature(teeth, np.array([0.94, 0.92, 0.89]), 0.95, 0.004)
        p.feature(stroke(seam + 0.035 * DOWN, 0.016), lip * 0.5, 0.6)
    p.feature(stroke(seam, 0.022, 0.4, 0.4), lip * 0.35, 0.85)
    p.feature(stroke(curve([(-0.1, 0.86), (0, 0.885), (0.1, 0.86)]), 0.03), skin * 0.75, 0.35, 0.015)


def draw_portrait(index: int) -> NDArray[np.uint8]:
    """Portrait number `index`, at least 0: (256, 256, 3) uint8, sRGB; the same whatever else is drawn.

    Raises:
        ValueError: if the index is negative.
    """
    p = Painter(np.random.default_rng([index, 0]))
    skin, style = p.skin, p.pick(HAIR_STYLES)
    jaw, width = p.between(0.08, 0.28), p.between(0.7, 0.79)
    _background(p)
    back_hair(p, style, width)
    _body(p, skin)
    _head(p, skin, jaw, width)
    _nose_and_mouth(p, skin)
    _eyes(p, skin)
    front_hair(p, style, width)
    warmth, exposure = p.between(-0.05, 0.05), p.between(1.0, 1.18)
    p.image *= (np.linspace(1.04, 0.94, SIZE)[:, None] * (1 + 0.012 * p.texture))[..., None]
    p.image *= np.array([1 + warmth, 1, 1 - warmth]) * exposure
    return (np.clip(p.image, 0, 1) * 255 + 0.5).astype(np.uint8)
