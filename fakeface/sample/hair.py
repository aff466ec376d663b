"""The hair of a portrait: the part behind the head, and the part on it."""

from __future__ import annotations

import numpy as np

from fakeface.sample.painting import DOWN, Array, Painter, Window, curve, mirrored, sine

HAIR_STYLES = ("short", "swept", "fringe", "long", "wavy", "bald")


def _paint(p: Painter, window: Window, style: str, back: bool = False) -> Array:
    """Hair strands running from a parting and down, with a band of shine: (h, w, 3)."""
    x, y = p.x[window] - p.part, p.y[window]
    spread = 0.55 + np.clip(y + 1.1, 0, 1.1) * (0.9 if style in ("long", "wavy") else 1.4)
    wave = 0.05 * sine(y * 1.43 + 0.32 * p.soft[window]) if style == "wavy" else 0.012 * p.soft[window]
    across = x / spread + wave
    strand = 0.6 * p.strands(across, 26) + 0.5 * p.strands(across + 3.1, 75)
    if style == "short":
        strand = 0.7 * strand + 0.4 * p.texture[window]
    height = (y + 0.86 + 0.25 * x * x) / 0.16
    shine = (0.6 + 0.5 * strand) / (1 + height * height * (1 + height * height))
    shade = 0.74 + 0.17 * strand + 0.24 * p.light * x + 0.34 * shine
    if back:
        shade = shade * 0.68 - 0.1 * np.clip(y, 0, 2)
    return p.hair * np.clip(shade, 0.22, 1.7)[..., None] + 0.05 * shine[..., None]


def back_hair(p: Painter, style: str, width: float) -> None:
    if style in ("long", "wavy"):
        out, end = width + p.between(0.1, 0.34), p.between(0.9, 1.7)
        half = [(0, -1.2), (-out * 0.8, -1.0), (-out, -0.3), (-out - 0.06, 0.5), (-out + 0.02, end), (-0.3, end + 0.12)]
        window, mask = p.mask([p.head(curve(mirrored(half), closed=True), turn=False)], 0.008 * p.pose.scale)
        p.fill(window, mask, _paint(p, window, style, back=True))


def front_hair(p: Painter, style: str, width: float) -> None:
    """The cap of hair between the skull's outline and a hairline that depends on the style."""
    if style == "bald":
        return
    lift = p.between(0.08, 0.13 if style == "long" else 0.2)
    side, ear, high = width + p.between(0.03, 0.07), p.between(-0.15, 0.05), p.between(-0.68, -0.58)
    outer = mirrored([(-side, ear), (-side - 0.02, -0.4), (-side * 0.84, -0.8 - lift * 0.6), (-side * 0.4, -1 - lift),
                      (0, -1.03 - lift)])  # fmt: skip
    temple = width * 0.9
    if style == "fringe":
        line = [(x, -0.22 - 0.1 * x * x + (0.045 if k % 2 else -0.03) * p.between(0.4, 1.2))
                for k, x in enumerate(np.linspace(temple, -temple, 13))]  # fmt: skip
        inner = [(width * 0.93, ear), *line, (-width * 0.93, ear)]
    elif style == "swept":
        inner = [(width * 0.94, ear), (temple, -0.42), (p.part + 0.3, -0.42), (p.part, high - 0.1),
                 (p.part - 0.15, high), (-temple, -0.46), (-width * 0.94, ear)]  # fmt: skip
        if p.part > 0:
            inner = [(-x, y) for x, y in reversed(inner)]
    elif style in ("long", "wavy"):
        inner = [(width * 0.97, ear), (temple, -0.2), (temple * 0.78, -0.5), (p.part, high - 0.16),
                 (-temple * 0.78, -0.5), (-temple, -0.2), (-width * 0.97, ear)]  # fmt: skip
    else:
        inner = mirrored([(width * 0.95, ear), (temple * 0.98, -0.4), (temple * 0.8, -0.56), (0.2, high)])
    outline = np.concatenate([curve(outer), curve(inner)])
    window, shadow = p.mask([p.head(outline + 0.05 * DOWN, turn=False)], 0.05 * p.pose.scale)
    x, y = p.x[window] / width, p.y[window]
    p.fill(window, 0.3 * shadow * (x * x + y * y < 1), np.zeros(3))
    shapes = [outline]
    if style in ("long", "wavy"):  # locks in front of the ears
        end = p.between(0.5, 1.15)
        lock = curve([(width - 0.12, -0.6), (width - 0.04, 0), (width, end * 0.6), (width + 0.08, end),
                      (width + 0.2, 0.3), (width + 0.1, -0.6)], closed=True)  # fmt: skip
        shapes += [lock, lock * (-1, 1)]
    for shape in shapes:
        window, mask = p.mask([p.head(shape, turn=False)], 0.01 * p.pose.scale)
        p.fill(window, mask, _paint(p, window, style))
