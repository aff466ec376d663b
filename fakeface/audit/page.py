"""The audit's page: what the data would let a detector learn instead of the faces."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fakeface.audit.probes import MOST_IMAGES, RESAMPLES, shares
from fakeface.audit.spectra import Pictures
from fakeface.audit.verdict import STOPPING, TITLES, Measured, Verdict
from fakeface.pages.render import CLASS_COLOURS, figure_uri, images_uri, render

TABLES = {"format": "Format", "size": "Size in pixels", "mode": "Mode", "quality": "JPEG quality (estimate)",
          "quantization": "JPEG tables (digest)", "subsampling": "Chroma subsampling",
          "traces": "EXIF and other traces"}  # fmt: skip
ROWS = 8  # values shown of each fact
DIFFERS = 0.2  # share of one class more than of the other
STRIP, PAIR = 96, 112  # pixels, height of the pictures
PAIRS = 12  # pairs of copies and twins of each kind


def audit_page(
    data: str,
    pixels: Any,
    found: Measured,
    verdict: Verdict,
    unused: dict[str, int],
    *,
    folds: int,
    distance: int,
    group_by: str,
) -> str:
    """The whole page as HTML. `data`: the folder's name; `pixels`: uint8 [N, 3, S, S], rows read as needed.

    `unused`: how many files by kind. `group_by`: as in params.yaml, where `none` means photos.
    """
    facts, copies = found.facts, found.copies
    labels = facts["label"].to_numpy()
    names = {"real": 0, "fake": 1}
    bars = []
    for name, probe in found.probes.items():
        limit = found.limits[name]
        status = "pass" if not probe.above(limit) else "fail" if name in STOPPING else "warn"
        left, right = (float(np.clip((v or 0) * 200 - 100, 0, 100)) for v in (probe.low, probe.high))
        places = {"left": round(left, 1), "width": round(max(right - left, 1), 1), "mark": round(limit * 200 - 100, 1)}
        bars.append({"title": TITLES[name], "probe": probe, "limit": limit, "status": status} | places)
    sizes = []
    for name, label in names.items():
        of = facts.loc[labels == label, "bytes"]
        sizes.append({"name": name, "figures": [round(float(v)) for v in (of.min(), of.median(), of.mean(), of.max())]})
    tables = []
    for fact, title in TABLES.items():
        rows = shares(facts, fact).rename_axis("value").reset_index().to_dict("records")
        rows = [row | {"differs": abs(row["real"] - row["fake"]) >= DIFFERS} for row in rows]
        tables.append({"title": title, "rows": rows[:ROWS], "more": len(rows[ROWS:])})
    kinds = [
        ("Exact duplicates", copies.exact, copies.counts["exact_duplicates"]),
        ("Near-duplicates", copies.near, copies.counts["near_duplicates"]),
        ("Twins across splits", copies.splits, len(copies.splits)),
        ("Twins across classes", copies.classes, copies.counts["photos_in_both_classes"]),
    ]
    return render(
        "fakeface.audit",
        "audit.html",
        data=data,
        size=pixels.shape[-1],
        counts={name: int((labels == label).sum()) for name, label in names.items()},
        verdict=verdict,
        unused=unused,
        group_by=group_by,
        unit="photo" if group_by in ("photo", "none") else "group",
        largest=int(facts["source"].value_counts().max()),
        strips={
            name: images_uri(list(pixels[np.flatnonzero(labels == label)[:8]]), STRIP) for name, label in names.items()
        },
        probes=bars,
        probed=len(found.pictures.rows),
        most=MOST_IMAGES,
        folds=folds,
        resamples=RESAMPLES,
        sizes=sizes,
        tables=tables,
        copies=copies,
        distance=distance,
        pairs=[
            {
                "title": title,
                "total": total,
                "listed": len(listed),
                "shown": [_pair(pixels, found, i, j) for i, j in listed[:PAIRS]],
            }
            for title, listed, total in kinds
        ],
        figures={
            "spectra": figure_uri(maps(found.pictures.spectrum, "log10 power", centred=False)),
            "radial": figure_uri(radial(found.pictures, labels)),
            "residual": figure_uri(maps(found.pictures.residual, "8-bit levels", centred=True)),
        },
    )


def _pair(pixels: Any, found: Measured, i: int, j: int) -> dict[str, Any]:
    one, other = found.facts.iloc[i], found.facts.iloc[j]
    return {
        "uri": images_uri([pixels[int(i)], pixels[int(j)]], PAIR),
        "one": one["path"],
        "other": other["path"],
        "split_one": one["split"],
        "split_other": other["split"],
        "bits": int(np.bitwise_count(found.pictures.hashes[i] ^ found.pictures.hashes[j])),
    }


def maps(values: np.ndarray, unit: str, *, centred: bool) -> Figure:
    """Real, fake and fake minus real side by side. `values`: float [2, H, W]; `centred`: grey is 0 in the first two as well."""
    figure = Figure(figsize=(10, 3.1), layout="constrained")
    axes = figure.subplots(1, 3)
    if centred:
        most = max(float(np.percentile(np.abs(values), 99.5)), 1e-6)
        scale = {"vmin": -most, "vmax": most, "cmap": "gray"}
    else:
        scale = {"vmin": float(np.percentile(values, 0.5)), "vmax": float(values.max()), "cmap": "magma"}
    difference = values[1] - values[0]
    most = max(float(np.percentile(np.abs(difference), 99.8)), 1e-6)
    signed = {"vmin": -most, "vmax": most, "cmap": "RdBu_r"}
    for axis, picture, title, style in zip(
        axes, (*values, difference), ("real", "fake", "fake minus real"), (scale, scale, signed), strict=True
    ):
        drawn = axis.imshow(picture, interpolation="nearest", **style)
        axis.set(title=title, xticks=[], yticks=[])
        figure.colorbar(drawn, ax=axis, shrink=0.8, label=unit)
    return figure


def radial(pictures: Pictures, labels: np.ndarray) -> Figure:
    """Mean radial curve of each class with one standard deviation over the images; x in cycles a pixel."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axis = figure.subplots()
    size = pictures.spectrum.shape[-1]
    for label, (name, colour) in enumerate(CLASS_COLOURS.items()):
        curves = pictures.radial[labels[pictures.rows] == label]
        mean, deviation = curves.mean(0), curves.std(0)
        x = np.arange(len(mean)) / size
        axis.plot(x, mean, color=colour, label=name)
        axis.fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=0.15, linewidth=0)
    axis.set(xlabel="frequency, cycles per pixel (0.5: every other pixel)", ylabel="log10 power", xlim=(0, 0.5))
    axis.grid(alpha=0.3)
    axis.legend()
    return figure
