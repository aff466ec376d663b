"""The explanations as pictures and as a page: errors, easiest and hardest images, heat maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fakeface.explain.calls import Calls, wrong_in_all
from fakeface.pages.render import CLASS_COLOURS, images_uri, render

CELL = 1.1  # inches, height of an image in a figure
TILE = 160  # pixels, height of an image on the page
Cell = tuple[np.ndarray, float]  # an image, uint8 [3, h, w], and its score


@dataclass(frozen=True)
class Explained:
    """One approach. `network`, `crop_size`: from its card.

    `heat`: for each of `explain.GROUPS` the places shown, the crops that the network sees and their `overlay`s, both uint8
    [n, 3, crop, crop].
    """

    network: str
    crop_size: int
    calls: Calls
    heat: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray]]


def gradcam_figure(name: str, explained: Explained) -> Figure:
    """Rows fake called fake, fake called real, real called real, real called fake; each image next to its overlay."""
    rows = []
    for (true, called), places in explained.calls.groups().items():
        shown, crops, overlays = explained.heat[true, called]
        pairs = np.concatenate([crops, overlays], axis=3)
        cells = list(zip(pairs, explained.calls.scores[shown], strict=True))
        rows.append((f"{true} called {called}: {_of(len(shown), len(places))}", cells))
    title = f"{name}, Grad-CAM; called fake where the score is {explained.calls.threshold:.3f} or more"
    return sheet(title, "orange: evidence for fake, blue: for real; numbers: score, the probability of fake", rows)


def extremes_figure(name: str, pixels: Any, rows: np.ndarray, calls: Calls, columns: int) -> Figure:
    """The hardest and easiest fake and real images with their scores. `rows`: of the test images in `pixels`."""
    lines = [
        (
            f"{which}: {_of(len(places), len(places))}",
            list(zip(pixels[rows[places]], calls.scores[places], strict=True)),
        )
        for which, places in calls.extremes(columns).items()
    ]
    note = f"numbers: score, the probability of fake; called fake from {calls.threshold:.3f} on"
    return sheet(f"{name}, hardest and easiest test images", note, lines)


def sheet(title: str, note: str, rows: list[tuple[str, list[Cell]]]) -> Figure:
    """Rows of images, each row with a label above it and the scores below; a row without images says so in its label."""
    aspect = next((cells[0][0].shape[2] / cells[0][0].shape[1] for _, cells in rows if cells), 1.0)
    columns = max(len(cells) for _, cells in rows)
    width = max(columns * aspect * (CELL + 0.06), 7.5) + 0.3
    heights = [CELL + 0.62 if cells else 0.4 for _, cells in rows]
    height = 0.75 + sum(heights)
    figure = Figure(figsize=(width, height))
    figure.text(0.15 / width, 1 - 0.25 / height, title, fontsize=13, weight="bold", va="center")
    figure.text(0.15 / width, 1 - 0.5 / height, note, fontsize=10, va="center", color="#444")
    top = height - 0.75
    for (label, cells), room in zip(rows, heights, strict=True):
        figure.text(0.15 / width, (top - 0.15) / height, label, fontsize=10.5, weight="bold", va="center")
        for k, (image, score) in enumerate(cells):
            left, bottom = 0.15 + k * aspect * (CELL + 0.06), top - 0.3 - CELL
            axis = figure.add_axes((left / width, bottom / height, CELL * aspect / width, CELL / height))
            axis.imshow(image.transpose(1, 2, 0), aspect="auto")
            axis.axis("off")
            middle = left + CELL * aspect / 2
            figure.text(middle / width, (bottom - 0.12) / height, f"{score:.3f}", fontsize=9, ha="center", va="center")
        top -= room
    return figure


def explain_page(
    paths: np.ndarray, pixels: Any, rows: np.ndarray, found: Mapping[str, Explained], *, errors_shown: int, columns: int
) -> str:
    """The whole page as HTML.

    Args:
        paths: of the test images [n]; pixels: uint8 [N, 3, S, S]; rows: which of them are the test images, int64 [n].
        found: approach -> what was found; errors_shown: images at most in a list of errors; columns: in a row of the others.
    """
    calls = {name: explained.calls for name, explained in found.items()}
    everywhere = wrong_in_all(calls)

    def tile(place: int, images: list[np.ndarray], which: str, note: str = "") -> dict[str, Any]:
        labels = next(iter(calls.values())).labels
        scores = [(name, calls[name].scores[place]) for name in ([which] if which else calls)]
        return {"uri": images_uri(images, TILE), "path": paths[place], "true": ("real", "fake")[labels[place]],
                "scores": scores, "note": note}  # fmt: skip

    def whole_image(place: int, which: str, note: str = "") -> dict[str, Any]:
        return tile(place, [pixels[int(rows[place])]], which, note)

    approaches = []
    for name, explained in found.items():
        wrong = explained.calls.errors()
        heat = []
        for (true, called), places in explained.calls.groups().items():
            shown, crops, overlays = explained.heat[true, called]
            tiles = [tile(p, [a, b], name) for p, a, b in zip(shown, crops, overlays, strict=True)]
            heat.append({"title": f"{true} called {called}", "total": len(places), "tiles": tiles})
        approaches.append({
            "name": name, "network": explained.network, "crop_size": explained.crop_size, **explained.calls.counts(),
            "groups": [len(places) for places in explained.calls.groups().values()],
            "tiles": [whole_image(p, name, "wrong in every approach" if p in everywhere else "")
                      for p in wrong[:errors_shown]],
            "extremes": {which: [whole_image(p, name) for p in places]
                         for which, places in explained.calls.extremes(columns).items()},
            "heat": heat,
        })  # fmt: skip
    return render(
        "fakeface.explain",
        "explain.html",
        count=len(rows),
        size=pixels.shape[-1],
        approaches=approaches,
        everywhere={"total": len(everywhere), "tiles": [whole_image(p, "") for p in everywhere[:errors_shown]]},
        errors_shown=errors_shown,
        colours=CLASS_COLOURS,
    )


def _of(shown: int, total: int) -> str:
    if not total:
        return "none"
    images = f"{total} image{'s' if total != 1 else ''}"
    return images if total == shown else f"{shown} of {images}"
