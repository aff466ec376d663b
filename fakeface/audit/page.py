"""The audit's verdict in words and its page: what the data would let a detector learn besides the faces."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fakeface.audit.facts import Copies
from fakeface.audit.probes import RESAMPLES, Probe, shares, widest_gap
from fakeface.audit.spectra import Pictures, class_curves
from fakeface.pages.render import CLASS_COLOURS, figure_uri, images_uri, render

TITLES = {"metadata": "metadata alone", "file_size": "the file size alone", "mean_colour": "the mean colour alone",
          "thumbnail": "an 8x8 thumbnail", "spectrum": "the radial spectrum"}  # fmt: skip
STOPPING = ("metadata", "file_size")  # the others are content
TABLES = {"format": "Format", "size": "Size in pixels", "mode": "Mode", "quality": "JPEG quality (estimate)",
          "quantization": "JPEG tables (digest)", "subsampling": "Chroma subsampling",
          "traces": "EXIF and other traces"}  # fmt: skip
ROWS = 8  # values shown of each fact
DIFFERS = 0.2  # share of one class more than of the other
STRIP, PAIR = 96, 112  # pixels, height of the pictures
PAIRS = 12  # pairs of copies and twins of each kind


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong (`fail`, `warn`), what it is and what to do about it."""

    status: str
    text: str
    remedy: str


@dataclass(frozen=True)
class Verdict:
    """`status`: pass, warn or fail; `summary`: one sentence; `findings`: the worst first."""

    status: str
    summary: str
    findings: list[Finding]


def judge(
    probes: dict[str, Probe], limits: dict[str, float], counts: dict[str, int], facts: pd.DataFrame, on_shortcut: str
) -> Verdict:
    """Pass, warn or fail, and why.

    Args:
        probes, limits: by the names of `TITLES`; counts: `Copies.counts`.
        facts: from `audit.read_facts`; on_shortcut: fail or warn, for the probes of `STOPPING`.
    """
    findings = []
    for name, probe in probes.items():
        if probe.above(limits[name]):
            key = f"audit.max_{name if name in STOPPING else 'picture'}"
            text = (
                f"a classifier on {TITLES[name]} tells real from fake with balanced accuracy {in_words(probe)}, "
                f"above {key} = {limits[name]}"
            )
            status = on_shortcut if name in STOPPING else "warn"
            if name == "metadata":
                text += f"; the classes differ most in {widest_gap(facts)}"
            findings.append(Finding(status, text, _remedy(name)))
    if counts["exact_duplicates_across_classes"]:
        number = counts["exact_duplicates_across_classes"]
        text = f"{number} files of one class are byte for byte in the other class too: one of the labels is wrong"
        findings.append(Finding("warn", text, "remove them from the class where they do not belong."))
    if counts["photos_in_several_splits"]:
        text = (
            f"{counts['photos_in_several_splits']} photos stand in several splits, "
            f"{counts['test_images_with_twin_in_train']} test images have their twin in train: figures on test are biased"
        )
        findings.append(Finding("warn", text, "set split.group_by: photo in params.yaml, unless you study the leak."))
    if any(probe.accuracy is None for probe in probes.values()):
        findings.append(Finding("warn", "too few photos to measure the probes", "add images."))
    findings.sort(key=lambda finding: finding.status != "fail")
    status = findings[0].status if findings else "pass"
    summary = {
        "pass": "No shortcut found in the files, and no photo stands on two sides of the split.",
        "warn": "Nothing stops the training, but read this first.",
        "fail": "The files give the answer away: what is trained on them would learn that, and fail on other pictures.",
    }[status]
    return Verdict(status, summary, findings)


def _remedy(name: str) -> str:
    if name == "metadata":
        return "give both classes one history: decode all, bring to one size, save in one format with one setting, no EXIF."
    if name == "file_size":
        return "save both classes with one encoder and setting; if the sizes still differ, one class is smoother or noisier."
    if name == "spectrum":
        return (
            "if both classes went through the same cameras, scaling and compression, this is the generator's trace: fair, "
            "and what a network must beat; look at the spectra below. Else give both classes one history."
        )
    return "look whether background, light or framing differ between the classes; choose reals and fakes alike."


def in_words(probe: Probe) -> str:
    """Its figure and interval, as the stage prints them."""
    if probe.accuracy is None:
        return "too few photos to measure"
    return f"{probe.accuracy:.3f} (95 % interval {probe.low:.3f} to {probe.high:.3f})"


def summary(verdict: Verdict, probes: dict[str, Probe], copies: Copies) -> dict[str, Any]:
    """The metric: figures that `dvc metrics show` lists; the intervals are lists, which it leaves out."""
    names = ("exact_duplicates", "near_duplicates", "photos_in_several_splits")
    return {
        "verdict": verdict.status,
        "balanced_accuracy": {name: probe.accuracy for name, probe in probes.items()},
        "interval_95": {name: [probe.low, probe.high] for name, probe in probes.items()},
        **{name: copies.counts[name] for name in names},
    }


def page(
    data: str, pixels: Any, facts: pd.DataFrame, copies: Copies, hashes: np.ndarray, pictures: Pictures,
    probes: dict[str, Probe], limits: dict[str, float], verdict: Verdict, *, folds: int, distance: int, pairs_shown: int = PAIRS,
) -> str:  # fmt: skip
    """The whole page as HTML. `pixels`: uint8 [N, 3, S, S], rows read as needed; the others as their modules say."""
    labels = facts["label"].to_numpy()
    names = {"real": 0, "fake": 1}
    bars = []
    for name, probe in probes.items():
        status = "pass" if not probe.above(limits[name]) else "fail" if name in STOPPING else "warn"
        left, right = (float(np.clip((v or 0) * 200 - 100, 0, 100)) for v in (probe.low, probe.high))
        bars.append({"title": TITLES[name], "probe": probe, "limit": limits[name], "status": status, "left": round(left, 1),
                     "width": round(max(right - left, 1), 1), "mark": round(limits[name] * 200 - 100, 1)})  # fmt: skip
    sizes = []
    for name, label in names.items():
        of = facts.loc[labels == label, "bytes"]
        sizes.append({"name": name, "figures": [round(float(v)) for v in (of.min(), of.median(), of.mean(), of.max())]})
    tables = []
    for fact, title in TABLES.items():
        rows = [{"value": value, "real": real, "fake": fake, "differs": abs(real - fake) >= DIFFERS}
                for value, (real, fake) in zip(*_split_off(shares(facts, fact)), strict=True)]  # fmt: skip
        tables.append({"title": title, "rows": rows[:ROWS], "more": len(rows[ROWS:])})
    kinds = [
        ("Exact duplicates", copies.exact, copies.counts["exact_duplicates"]),
        ("Near duplicates", copies.near, copies.counts["near_duplicates"]),
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
        strips={
            name: images_uri(list(pixels[np.flatnonzero(labels == label)[:8]]), STRIP) for name, label in names.items()
        },
        probes=bars,
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
                "listed": len(found),
                "shown": [_pair(pixels, facts, hashes, i, j) for i, j in found[:pairs_shown]],
            }
            for title, found, total in kinds
        ],
        figures={
            "spectra": figure_uri(maps(pictures.spectrum, "log10 power", centred=False)),
            "radial": figure_uri(radial(pictures, labels)),
            "residual": figure_uri(maps(pictures.residual, "8-bit levels", centred=True)),
        },
    )


def _split_off(table: pd.DataFrame) -> tuple[list[str], list[list[float]]]:
    return table.index.tolist(), table.to_numpy().tolist()


def _pair(pixels: Any, facts: pd.DataFrame, hashes: np.ndarray, i: int, j: int) -> dict[str, Any]:
    one, other = facts.iloc[i], facts.iloc[j]
    return {"uri": images_uri([pixels[int(i)], pixels[int(j)]], PAIR), "one": one["path"], "other": other["path"],
            "split_one": one["split"], "split_other": other["split"],
            "bits": int(np.bitwise_count(hashes[i] ^ hashes[j]))}  # fmt: skip


def maps(values: np.ndarray, unit: str, *, centred: bool) -> Figure:
    """Real, fake and fake less real side by side. `values`: float [2, H, W]; `centred`: grey is 0 in the first two as well."""
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
        axes, (*values, difference), ("real", "fake", "fake less real"), (scale, scale, signed), strict=True
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
    for (name, colour), (mean, deviation) in zip(CLASS_COLOURS.items(), class_curves(pictures, labels), strict=True):
        x = np.arange(len(mean)) / size
        axis.plot(x, mean, color=colour, label=name)
        axis.fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=0.15, linewidth=0)
    axis.set(xlabel="frequency, cycles a pixel (0.5: every other pixel)", ylabel="log10 power", xlim=(0, 0.5))
    axis.grid(alpha=0.3)
    axis.legend()
    return figure
