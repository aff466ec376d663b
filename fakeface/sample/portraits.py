"""Portraits drawn by code: the real class of the embedded sample.

A portrait is painted in layers (background, back hair, body, head, features, front hair, glasses), each an anti-aliased
mask filled with a shaded, textured colour, with the tools of `painting`. Everything is chosen from one random generator,
seeded by (seed, index), so portrait i does not depend on how many are drawn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fakeface.sample.painting import Array, Painter, Pose, Window, curve, ellipse, stroke

EYES = ((84, 56, 34), (112, 78, 44), (92, 118, 74), (84, 122, 152), (110, 134, 146), (58, 42, 32))
CLOTHES = ((52, 72, 110), (132, 50, 54), (60, 92, 76), (206, 200, 190), (50, 50, 56), (180, 140, 80), (116, 92, 132),
           (92, 132, 150), (226, 224, 226), (196, 110, 92))  # fmt: skip
BACKDROP = ((120, 140, 150), (176, 168, 156), (96, 110, 98), (148, 122, 110), (92, 98, 118), (200, 196, 190),
            (126, 152, 166), (168, 140, 132))  # fmt: skip
HAIR_STYLES = ("short", "swept", "fringe", "long", "wavy", "bun", "curly", "bald")
GARMENTS = ("crew", "stripes", "vneck", "shirt", "blazer", "hoodie", "knit")
BACKGROUNDS = ("gradient", "bokeh", "stripes", "clouds", "window")


def _background(p: Painter) -> None:
    rng, size = p.rng, p.size
    one, two = p.colour(BACKDROP, 0.05), p.colour(BACKDROP, 0.05)
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) / size
    angle = rng.uniform(0, 2 * np.pi)
    across = (columns - 0.5) * np.float32(np.cos(angle)) + (rows - 0.5) * np.float32(np.sin(angle)) + 0.5
    kind = rng.choice(BACKGROUNDS)
    if kind == "stripes":
        across = 0.5 + 0.35 * np.tanh(4 * np.sin(across * np.float32(rng.uniform(18, 60))))
    elif kind == "clouds":
        across = 0.5 + 0.3 * p.clouds
    elif kind == "window":
        across = 0.6 * across + 0.5 * (np.abs(columns - rng.uniform(0, 1)) < rng.uniform(0.08, 0.2))
    p.image[:] = one + np.clip(across, 0, 1)[..., None] * (two - one)
    if kind == "bokeh":
        for _ in range(rng.integers(8, 20)):
            spot = ellipse(*rng.uniform(0, size, 2), *[rng.uniform(0.02, 0.08) * size] * 2)
            window, mask = p.mask([spot], blur=size / 160)
            p.fill(window, mask * rng.uniform(0.1, 0.4), p.colour(BACKDROP, 0.1) * 1.25)
    vignette = 1 - rng.uniform(0.1, 0.35) * ((columns - 0.5) ** 2 + (rows - 0.5) ** 2) * 2
    p.image *= (vignette + rng.uniform(0.015, 0.04) * p.texture + 0.02 * p.soft)[..., None]


def _body(p: Painter, skin: Array) -> None:
    """Neck, shoulders and a garment; the body keeps upright while the head leans."""
    rng, pose, window_all = p.rng, p.pose, (slice(0, p.size), slice(0, p.size))
    body = Pose(pose.x - pose.angle * pose.scale, pose.y, pose.scale, 0.0, 0.0)
    wide, drop, neck = rng.uniform(1.25, 1.65), rng.uniform(1.42, 1.55), rng.uniform(0.36, 0.46)
    x, y = body.to_head(p.size)
    half = np.clip(x / wide, -1, 1)
    shade = 0.78 + 0.3 * p.light * half - 0.18 * half**2 + 0.03 * p.folds + 0.06 * p.soft
    garment, colour, second = rng.choice(GARMENTS), p.colour(CLOTHES, 0.06), p.colour(CLOTHES, 0.06)
    if garment == "stripes":
        shade_two = np.clip(np.sin((y + 0.05 * x**2) * rng.uniform(20, 36)) * 3, 0, 1)[..., None]
        fabric = colour + shade_two * (second - colour)
    else:
        fabric = np.broadcast_to(colour, p.image.shape)
    if garment == "knit":
        shade = shade + 0.09 * np.sin(x * 75 + 2.5 * np.abs(np.sin(y * 36))) * np.cos(y * 36)
    cloth = np.asarray(fabric * np.clip(shade, 0.1, 1.5)[..., None], np.float32)
    outline = curve([(-neck - 0.02, 1.12), (-neck - 0.2, drop - 0.14), (-wide * 0.8, drop + 0.08), (-wide, drop + 0.4),
                      (-wide - 0.12, 3.4), (wide + 0.12, 3.4), (wide, drop + 0.4), (wide * 0.8, drop + 0.08),
                      (neck + 0.2, drop - 0.14), (neck + 0.02, 1.12)])  # fmt: skip
    window, mask = p.mask([body.to_pixels(outline)], window=window_all)
    p.fill(window, mask, cloth)
    depth = {"vneck": 0.62, "shirt": 0.4, "blazer": 0.7, "hoodie": 0.26}.get(str(garment), 0.24)
    if depth < 0.3:
        base = [(-neck - 0.1, drop - 0.16), (-neck * 0.62, drop + depth * 0.45), (0, drop + depth * 0.72)]
    else:
        base = [(-neck - 0.1, drop - 0.16), (0, drop - 0.1 + depth)]
    left = [(-neck, 0.4), (-neck, 1.15), *base]
    opening = curve([*left, *[(-x, y) for x, y in left[-2::-1]]], steps=2 if depth > 0.3 else 8)
    if garment == "blazer":
        window, mask = p.mask([body.to_pixels(opening)])
        p.fill(window, mask, np.float32(0.9) * np.clip(shade[window] + 0.1, 0, 1.1)[..., None] * np.ones(3, np.float32))
        opening = curve([(-neck, 0.4), (-neck, 1.2), (0, drop + 0.12), (neck, 1.2), (neck, 0.4)], steps=3)
    elif depth < 0.3:  # a ribbed collar round the neck
        rib = curve([*base, *[(-x, y) for x, y in base[-2::-1]]])
        window, mask = p.mask([body.to_pixels(stroke(rib, 0.17, 0.9, 0.9))])
        p.fill(window, mask, cloth[window] * np.float32(0.82))
    window, mask = p.mask([body.to_pixels(opening)])
    throat = 0.86 + 0.35 * p.light * x[window] - 0.5 * x[window] ** 2 + 0.02 * p.texture[window]
    shadow = np.exp(-np.clip(y[window] - 0.95, 0, None) * 3.2)  # what the chin throws on the neck
    p.fill(window, mask, p.shaded(window, skin, throat * (1 - 0.42 * shadow)))
    if garment in ("shirt", "blazer"):
        tint = colour * np.float32(1.12) if garment == "shirt" else np.float32(0.8) * colour
        for side in (-1, 1):
            reach = drop + (0.05 if garment == "shirt" else 0.95)
            flap = np.array([(neck * 0.98, 1.1), (neck + 0.2, drop - 0.12), (neck * 0.9, reach + 0.1),
                             (0.03, drop + depth - 0.12), (neck * 0.55, drop)], np.float32)  # fmt: skip
            window, mask = p.mask([body.to_pixels(flap * np.array([side, 1], np.float32))])
            p.fill(window, mask, tint * np.clip(shade[window] + 0.05, 0.1, 1.5)[..., None])
        for level in (0.2, 0.5, 0.8):
            window, mask = p.mask([body.to_pixels(ellipse(0.0, drop + depth + level - 0.12, 0.035, 0.035))])
            p.fill(window, mask, np.asarray(second, np.float32))


def _head(p: Painter, skin: Array, jaw: float, width: float) -> None:
    """Ears and the face with its light: an ellipsoid under an ambient and a directional lamp, plus skin texture."""
    for side in (-1, 1):
        ear = curve([(side * width * 0.93, -0.14), (side * (width + 0.12), -0.16), (side * (width + 0.13), 0.1),
                      (side * (width + 0.03), 0.34), (side * width * 0.9, 0.28)], closed=True)  # fmt: skip
        ear[:, 0] -= p.pose.yaw * 0.3
        tone = 0.8 + 0.2 * side * p.light
        window, mask = p.mask([p.head(ear)])
        p.fill(window, mask, skin * np.float32(tone) * np.array([1, 0.93, 0.9], np.float32))
        inner = stroke(curve([(side * (width + 0.07), -0.08), (side * (width + 0.08), 0.1),
                                (side * (width + 0.01), 0.22)]), 0.05)  # fmt: skip
        window, mask = p.mask([p.head(inner)], 0.02 * p.pose.scale)
        p.fill(window, mask * 0.5, skin * np.float32(tone * 0.62))
    t = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    up = -np.cos(t)
    narrow = 1 - jaw * np.clip(up, 0, 1) ** 2
    face = np.stack([width * np.sign(np.sin(t)) * np.abs(np.sin(t)) ** 0.86 * narrow, up], axis=1).astype(np.float32)
    window, mask = p.mask([p.head(face)])
    u, v = p.x[window] / (width * 1.04), p.y[window] / 1.06
    nz = np.sqrt(np.clip(1 - u**2 - v**2, 0.02, 1))
    lamp = np.array([p.light, -0.35, 0.85], np.float32) / np.float32(np.hypot(np.hypot(p.light, 0.35), 0.85))
    diffuse = np.clip(u * lamp[0] + v * lamp[1] + nz * lamp[2], 0, 1)
    shade = p.ambient + (1.1 - p.ambient) * diffuse + 0.014 * p.texture[window] + 0.012 * p.soft[window]
    p.fill(window, mask, p.shaded(window, skin, shade))


def _eyes(p: Painter, skin: Array) -> None:
    rng = p.rng
    gap, half, tall = rng.uniform(0.29, 0.34), rng.uniform(0.125, 0.155), rng.uniform(0.05, 0.078)
    tilt, iris = rng.uniform(-0.02, 0.035), p.colour(EYES, 0.1)
    brow, thick, arch = p.hair * np.float32(0.72), rng.uniform(0.045, 0.085), rng.uniform(0.02, 0.07)
    gaze_x, gaze_y = rng.uniform(-0.03, 0.03), rng.uniform(-0.01, 0.012)
    for side in (-1, 1):
        x = side * gap
        p.feature(ellipse(x, -0.06, half * 1.35, 0.15), skin * np.float32(0.6), 0.34, 0.07)
        inner, outer = (x - side * half, 0.012), (x + side * half, 0.012 - tilt)
        upper = curve([inner, (x - side * half * 0.35, -tall), (x + side * half * 0.4, -tall * 0.95 - tilt), outer])
        lower = curve([outer, (x + side * half * 0.35, tall * 0.72 - tilt * 0.5), (x - side * half * 0.4, tall * 0.7),
                        inner])  # fmt: skip
        window, almond = p.mask([p.head(np.concatenate([upper, lower]), turn=True)])
        under_lid = np.clip(0.98 + (p.y[window] + tall * 0.4) * 4, 0.55, 0.95)[..., None]
        p.fill(window, almond, under_lid * np.array([0.97, 0.95, 0.94], np.float32))
        centre, radius = (x + gaze_x, gaze_y - 0.008), tall * 1.02
        for colour, reach in ((iris * 0.45, 1.0), (iris, 0.86), (iris * 1.35, 0.62), (np.full(3, 0.03), 0.42)):
            disc = p.head(ellipse(*centre, radius * reach, radius * reach), turn=True)
            _, mask = p.mask([disc], 0.008 * p.pose.scale, window)
            p.fill(window, mask * almond, colour.astype(np.float32))
        glint = ellipse(centre[0] + 0.4 * radius * np.sign(p.light), centre[1] - radius * 0.4, 0.019, 0.019)
        _, mask = p.mask([p.head(glint, turn=True)], window=window)
        p.fill(window, mask * almond, np.full(3, 0.97, np.float32))
        p.feature(stroke(upper, 0.034, 0.5, 0.8), np.float32(0.3) * brow, 0.92)
        p.feature(stroke(lower, 0.014), skin * np.float32(0.42), 0.6)
        crease = upper * np.array([1, 1], np.float32) - np.array([0, tall * 0.55], np.float32)
        p.feature(stroke(crease, 0.018), skin * np.float32(0.5), 0.7, 0.006)
        p.feature(stroke(lower + np.array([0, 0.075], np.float32), 0.02), skin * np.float32(0.66), p.age * 0.8, 0.012)
        lift = -0.17 - tall
        arc = curve([(x - side * half * 1.2, lift + 0.02), (x, lift - arch), (x + side * half * 1.5, lift + 0.02)])
        p.feature(stroke(arc, thick, 0.75, 0.1), brow, 0.82, 0.008)
        roots = arc[2:-2] + rng.normal(0, 0.008, (len(arc) - 4, 2))  # single hairs roughen the brow's edge
        flick = np.array([(0, 0), (side * 0.03, -0.024), (side * 0.06, -0.03)])
        hairs = [stroke(root + flick, 0.016) for root in roots]
        window, mask = p.mask([p.head(hair, turn=True) for hair in hairs])
        p.fill(window, mask * 0.7, brow * np.float32(0.8))


def _nose_and_mouth(p: Painter, skin: Array) -> None:
    rng = p.rng
    wide, tip, dark = rng.uniform(0.1, 0.145), rng.uniform(0.32, 0.38), -np.sign(p.light)
    bridge = curve([(dark * 0.05, -0.12), (dark * 0.055, 0.1), (dark * wide * 0.9, tip - 0.04), (dark * 0.02, tip)])
    p.feature(stroke(bridge, 0.085, 0.3, 0.5), skin * np.float32(0.66), 0.5, 0.03)
    p.feature(ellipse(0.0, tip + 0.045, wide * 0.95, 0.045), skin * np.float32(0.55), 0.5, 0.025)
    p.feature(ellipse(-dark * 0.02, tip - 0.06, 0.05, 0.055), np.clip(skin * 1.3, 0, 1), 0.42, 0.025)
    p.feature(ellipse(-dark * 0.02, 0.05, 0.022, 0.16), np.clip(skin * 1.25, 0, 1), 0.3, 0.02)
    for side in (-1, 1):
        wing = curve([(side * wide * 0.95, tip - 0.08), (side * wide * 1.12, tip), (side * wide * 0.7, tip + 0.03)])
        p.feature(stroke(wing, 0.028), skin * np.float32(0.5), 0.65, 0.008)
        p.feature(ellipse(side * wide * 0.5, tip + 0.018, 0.032, 0.016), skin * np.float32(0.28), 0.8, 0.006)
        fold = curve([(side * wide * 1.35, tip - 0.02), (side * 0.27, tip + 0.15), (side * 0.29, tip + 0.27)])
        p.feature(stroke(fold, 0.03), skin * np.float32(0.6), 0.15 + p.age * 0.7, 0.012)
        p.feature(ellipse(side * 0.42, 0.3, 0.17, 0.13), skin * np.array([1.06, 0.72, 0.7], np.float32), p.blush, 0.08)
    y, half, smile = tip + rng.uniform(0.23, 0.28), rng.uniform(0.19, 0.26), rng.uniform(-0.01, 0.05)
    full = rng.uniform(0.04, 0.072)
    lip = skin * np.array([rng.uniform(0.78, 0.95), rng.uniform(0.5, 0.66), rng.uniform(0.5, 0.68)], np.float32)
    left, right = (-half, y - smile), (half, y - smile)
    seam = curve([left, (-half * 0.45, y + 0.004), (0, y + 0.008), (half * 0.45, y + 0.004), right])
    top = curve([right, (half * 0.4, y - full * 0.8), (0.05, y - full), (0, y - full * 0.8), (-0.05, y - full),
                  (-half * 0.4, y - full * 0.8), left])  # fmt: skip
    low = curve([right, (half * 0.45, y + full * 1.05), (0, y + full * 1.35), (-half * 0.45, y + full * 1.05), left])
    p.feature(ellipse(0.0, y + full * 1.35 + 0.06, half * 0.6, 0.03), skin * np.float32(0.6), 0.4, 0.025)
    p.feature(np.concatenate([seam, low]), lip, 0.9, 0.006)
    p.feature(np.concatenate([seam, top]), lip * np.float32(0.8), 0.9, 0.006)
    p.feature(ellipse(dark * -0.05, y + full * 0.7, half * 0.32, 0.014), np.clip(lip * 1.5, 0, 1), 0.45, 0.012)
    if smile > 0.025 and rng.random() < 0.6:  # an open smile
        teeth = np.concatenate([seam[4:-4], (seam[4:-4] + np.array([0, 0.035], np.float32))[::-1]])
        p.feature(teeth, np.array([0.94, 0.92, 0.89], np.float32), 0.95, 0.004)
        p.feature(stroke(seam + np.array([0, 0.035], np.float32), 0.016), lip * np.float32(0.5), 0.6)
    p.feature(stroke(seam, 0.022, 0.4, 0.4), lip * np.float32(0.35), 0.85)
    p.feature(stroke(curve([(-0.1, 0.86), (0, 0.885), (0.1, 0.86)]), 0.03), skin * np.float32(0.75), 0.35, 0.015)


def _skin_marks(p: Painter, skin: Array, jaw: float, width: float) -> None:
    """Age lines on the forehead, freckles, and a beard or moustache of short strands."""
    rng = p.rng
    for level in (-0.36, -0.45, -0.54):
        line = curve([(-0.3, level + 0.02), (rng.normal(0, 0.05), level), (0.3, level + 0.02)])
        p.feature(stroke(line, 0.016), skin * np.float32(0.66), p.age * 0.7, 0.008)
    if rng.random() < 0.25:
        places = zip(rng.normal(0, 0.3, 36), rng.normal(0.2, 0.1, 36), rng.uniform(0.008, 0.016, 36), strict=True)
        window, mask = p.mask([p.head(ellipse(x, y, r, r), turn=True) for x, y, r in places])
        p.fill(window, mask * 0.5, skin * np.float32(0.7))
    if rng.random() < 0.28:
        t = np.linspace(0.12, np.pi - 0.12, 24)
        edge = np.stack([-np.cos(t) * width * (1 - jaw * np.sin(t) ** 2) * 1.01, 0.12 + 0.92 * np.sin(t)], axis=1)
        inner = curve([(width * 0.88, 0.3), (0.42, 0.5), (0.26, 0.5), (0.1, 0.47), (0, 0.49), (-0.1, 0.47),
                        (-0.26, 0.5), (-0.42, 0.5), (-width * 0.88, 0.3)])  # fmt: skip
        shapes = [p.head(np.concatenate([edge.astype(np.float32), inner]))]
        window, mask = p.mask(shapes, 0.035 * p.pose.scale)
        mouth = ellipse(0.0, 0.63, 0.26, 0.09)
        _, hole = p.mask([p.head(mouth, turn=True)], 0.03 * p.pose.scale, window)
        grain = 0.8 + 0.22 * p.strands(p.x[window] * 1.3 + 0.2 * p.soft[window], 40) + 0.16 * p.texture[window]
        opacity = mask * (1 - hole) * rng.choice([0.35, 0.85])
        p.fill(window, opacity, p.hair * np.clip(grain, 0.3, 1.4)[..., None])


def _hair_paint(p: Painter, window: Window, style: str, back: bool) -> Array:
    """Hair strands running from a parting and down, with a band of shine: (h, w, 3)."""
    x, y = p.x[window] - p.part, p.y[window]
    spread = 0.55 + np.clip(y + 1.1, 0, 1.1) * (0.9 if style in ("long", "wavy") else 1.4)
    wave = 0.05 * np.sin(y * 9 + 2 * p.soft[window]) if style == "wavy" else 0.012 * p.soft[window]
    across = x / spread + wave
    strand = 0.6 * p.strands(across, 26) + 0.5 * p.strands(across + 3.1, 75)
    if style == "curly":
        strand = 0.5 * p.strands(x + 0.06 * np.sin(y * 40) + 0.1 * p.soft[window], 16) + 0.4 * p.folds[window]
    if style == "short":
        strand = 0.7 * strand + 0.4 * p.texture[window]
    shine = np.exp(-(((y + 0.86 + 0.25 * x**2) / 0.16) ** 2)) * (0.6 + 0.5 * strand)
    shade = 0.74 + 0.17 * strand + 0.24 * p.light * x + 0.34 * shine
    if back:
        shade = shade * 0.68 - 0.1 * np.clip(y, 0, 2)
    return np.asarray(p.hair * np.clip(shade, 0.22, 1.7)[..., None] + 0.05 * shine[..., None], np.float32)


def _back_hair(p: Painter, style: str, width: float) -> None:
    rng = p.rng
    shapes = []
    if style in ("long", "wavy"):
        out, end = width + rng.uniform(0.16, 0.34), rng.uniform(0.9, 1.7)
        shapes = [curve([(0, -1.2), (-out * 0.8, -1.0), (-out, -0.3), (-out - 0.06, 0.5), (-out + 0.02, end),
                          (-0.3, end + 0.12), (0.3, end + 0.12), (out - 0.02, end), (out + 0.06, 0.5), (out, -0.3),
                          (out * 0.8, -1.0)], closed=True)]  # fmt: skip
    elif style == "bun":
        shapes = [ellipse(p.part, -1.3, rng.uniform(0.26, 0.36), rng.uniform(0.24, 0.3))]
    elif style == "curly":
        turn = np.linspace(-0.15 * np.pi, 1.15 * np.pi, 26)
        out = width + rng.uniform(0.1, 0.3)
        shapes = [ellipse(out * np.cos(t), -0.32 - 0.85 * np.sin(t), *rng.uniform(0.13, 0.22, 2)) for t in turn]
        shapes.append(ellipse(0.0, -0.4, out, 0.85))
    if shapes:
        window, mask = p.mask([p.head(shape) for shape in shapes], 0.008 * p.pose.scale)
        p.fill(window, mask, _hair_paint(p, window, style, back=True))


def _front_hair(p: Painter, style: str, width: float) -> None:
    """The cap of hair between the skull's outline and a hairline that depends on the style."""
    rng, part = p.rng, p.part
    if style == "bald":
        return
    lift = rng.uniform(0.08, 0.2) if style not in ("bun", "long") else rng.uniform(0.08, 0.13)
    side, ear, high = width + rng.uniform(0.03, 0.07), rng.uniform(-0.15, 0.05), rng.uniform(-0.68, -0.58)
    outer = [(-side, ear), (-side - 0.02, -0.4), (-side * 0.84, -0.8 - lift * 0.6), (-side * 0.4, -1 - lift),
             (0, -1.03 - lift), (side * 0.4, -1 - lift), (side * 0.84, -0.8 - lift * 0.6), (side + 0.02, -0.4),
             (side, ear)]  # fmt: skip
    temple = width * 0.9
    if style == "fringe":
        xs = np.linspace(temple, -temple, 13)
        line = [(x, -0.27 + 0.05 * np.cos(x * 2) + (0.045 if k % 2 else -0.03) * rng.uniform(0.4, 1.2))
                for k, x in enumerate(xs)]  # fmt: skip
        inner = [(width * 0.93, ear), *line, (-width * 0.93, ear)]
    elif style == "swept":
        inner = [(width * 0.94, ear), (temple, -0.42), (part + 0.3, -0.42), (part, high - 0.1), (part - 0.15, high),
                 (-temple, -0.46), (-width * 0.94, ear)]  # fmt: skip
        if part > 0:
            inner = [(-x, y) for x, y in reversed(inner)]
    elif style in ("long", "wavy"):
        inner = [(width * 0.97, ear), (temple, -0.2), (temple * 0.78, -0.5), (part, high - 0.16),
                 (-temple * 0.78, -0.5), (-temple, -0.2), (-width * 0.97, ear)]  # fmt: skip
    else:
        inner = [(width * 0.95, ear), (temple * 0.98, -0.4), (temple * 0.8, -0.56), (0.2, high), (-0.2, high),
                 (-temple * 0.8, -0.56), (-temple * 0.98, -0.4), (-width * 0.95, ear)]  # fmt: skip
    shape = p.head(np.concatenate([curve(outer), curve(inner)]))
    window, shadow = p.mask([shape + np.array([0, 0.05], np.float32) * p.pose.scale], 0.05 * p.pose.scale)
    p.image[window] *= 1 - 0.3 * shadow[..., None] * (np.hypot(p.x[window] / width, p.y[window]) < 1)[..., None]
    window, mask = p.mask([shape], 0.009 * p.pose.scale)
    p.fill(window, mask, _hair_paint(p, window, style, back=False))
    if style in ("long", "wavy"):  # locks in front of the ears
        end = rng.uniform(0.5, 1.15)
        for sign in (-1, 1):
            lock = curve([(sign * (width - 0.12), -0.6), (sign * (width - 0.04), 0), (sign * (width + 0.0), end * 0.6),
                           (sign * (width + 0.08), end), (sign * (width + 0.2), 0.3), (sign * (width + 0.1), -0.6)],
                          closed=True)  # fmt: skip
            window, mask = p.mask([p.head(lock)], 0.012 * p.pose.scale)
            p.fill(window, mask, _hair_paint(p, window, style, back=False))


def _glasses(p: Painter) -> None:
    rng = p.rng
    frame, rx, ry = p.colour(CLOTHES) * np.float32(0.5), rng.uniform(0.2, 0.235), rng.uniform(0.15, 0.19)
    power, bold = rng.choice([0.62, 1.0]), rng.uniform(0.03, 0.055)
    t = np.linspace(0, 2 * np.pi, 40)
    for side in (-1, 1):
        rim = [np.sign(f(t)) * np.abs(f(t)) ** power for f in (np.cos, np.sin)]
        rim_line = np.stack([side * 0.32 + rx * rim[0], 0.01 + ry * rim[1]], axis=1).astype(np.float32)
        p.feature(rim_line, np.array([0.86, 0.92, 0.98], np.float32), 0.1)
        p.feature(stroke(rim_line, bold, 1, 1), frame, 0.95)
        arm = np.array([(side * (0.32 + rx), -0.03), (side * 0.6, -0.04), (side * 0.74, -0.06)], np.float32)
        p.feature(stroke(arm, bold, 1, 1), frame, 0.95)
    p.feature(stroke(curve([(-0.32 + rx, -0.01), (0, -0.05), (0.32 - rx, -0.01)]), bold, 1, 1), frame, 0.95)


def draw_portrait(seed: int, index: int, size: int = 256) -> NDArray[np.uint8]:
    """One portrait, the same for the same arguments whatever else is drawn.

    Args:
        seed: which family of portraits, at least 0.
        index: which portrait of the family, at least 0.
        size: side in pixels, at least 32.

    Returns:
        (size, size, 3) uint8, sRGB.

    Raises:
        ValueError: if an argument is below its least value.
    """
    if seed < 0 or index < 0 or size < 32:
        raise ValueError(f"seed and index must be >= 0 and size >= 32, not {seed}, {index}, {size}")
    rng = np.random.default_rng([seed, index])
    p = Painter(size, rng)
    skin, style = p.skin, str(rng.choice(HAIR_STYLES))
    jaw, width = float(rng.uniform(0.08, 0.28)), float(rng.uniform(0.7, 0.79))
    _background(p)
    _back_hair(p, style, width)
    _body(p, skin)
    _head(p, skin, jaw, width)
    _nose_and_mouth(p, skin)
    _eyes(p, skin)
    _skin_marks(p, skin, jaw, width)
    _front_hair(p, style, width)
    if rng.random() < 0.22:
        _glasses(p)
    warmth = rng.normal(0, 0.03)
    rows = np.linspace(1.04, 0.94, size, dtype=np.float32)[:, None, None]
    p.image *= rows * np.array([1 + warmth, 1, 1 - warmth], np.float32) * np.float32(rng.uniform(1.0, 1.18))
    p.image *= 1 + 0.012 * p.texture[..., None]
    return np.asarray(np.clip(p.image, 0, 1) * 255 + 0.5, np.float32).astype(np.uint8)
