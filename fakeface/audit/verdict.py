"""The audit's verdict in words: what is wrong with the data, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from fakeface.audit.facts import Copies
from fakeface.audit.probes import Probe, widest_gap
from fakeface.audit.spectra import Pictures
from fakeface.core.errors import printable

TITLES = {"metadata": "metadata alone", "file_size": "the file size alone", "mean_colour": "the mean colour alone",
          "thumbnail": "an 8x8 thumbnail", "spectrum": "the radial spectrum"}  # fmt: skip
NORMALISE = "`fakeface normalise FOLDER NEW_FOLDER` does it, then `fakeface use NEW_FOLDER`"
STOPPING = ("metadata", "file_size")  # the others are content


@dataclass(frozen=True)
class Measured:
    """`facts`: from `facts.read_facts`; `probes`, and the `limits` of their balanced accuracy: by the names of `TITLES`;
    `apart`: the probes of each generator's fakes against all reals, where there are several."""

    facts: pd.DataFrame
    copies: Copies
    pictures: Pictures
    probes: dict[str, Probe]
    limits: dict[str, float]
    apart: dict[str, dict[str, Probe]] = field(default_factory=dict)


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


def reach_verdict(found: Measured, on_shortcut: str, more: Sequence[Finding] = ()) -> Verdict:
    """Pass, warn or fail, and why. `on_shortcut`: fail or warn, for the probes of `STOPPING`; `more`: of other kinds."""
    counts = found.copies.counts
    findings = list(more)
    for name, probe in found.probes.items():
        if probe.above(found.limits[name]):
            key = f"audit.max_{name if name in STOPPING else 'picture'}"
            text = (
                f"a classifier on {TITLES[name]} tells real from fake with balanced accuracy {in_words(probe)}, "
                f"above {key} = {found.limits[name]}"
            )
            status = on_shortcut if name in STOPPING else "warn"
            if name == "metadata":
                text += f"; the classes differ most in {widest_gap(found.facts)}"
            findings.append(Finding(status, text, _remedy(name)))
    for generator, of in found.apart.items():
        for name, limit in found.limits.items():
            # the spectrum is the generator's own trace, and most have one
            if name != "spectrum" and of[name].above(limit) and not found.probes[name].above(limit):
                text = (
                    f"a classifier on {TITLES[name]} tells the fakes in {printable(generator)} from the reals with balanced "
                    f"accuracy {in_words(of[name])}, above {limit} (all fakes together: below): its figures may be too good"
                )
                findings.append(Finding("warn", text, _remedy(name)))
    if counts["exact_duplicates_across_classes"]:
        number = counts["exact_duplicates_across_classes"]
        text = f"{number} files of one class are byte for byte in the other class too: one of the labels is wrong"
        findings.append(Finding("warn", text, "remove them from the class where they do not belong."))
    if counts["photos_in_several_splits"]:
        text = (
            f"{counts['photos_in_several_splits']} photos are in several splits, "
            f"{counts['test_images_with_twin_in_train']} test images have their twin in train: figures on test are biased"
        )
        findings.append(
            Finding(
                "warn",
                text,
                "set split.group_by: photo in params.yaml, unless you study the leak; correct a ready-made split in its folders.",
            )
        )
    if any(probe.accuracy is None for probe in found.probes.values()):
        findings.append(Finding("warn", "too few photos to measure the probes", "add images."))
    findings.sort(key=lambda finding: finding.status != "fail")
    status = findings[0].status if findings else "pass"
    summary = {
        "pass": "No shortcut was found in the files, and no photo is in more than one split.",
        "warn": "Training can start, but read this first.",
        "fail": "The files reveal the class: a detector trained on them would learn that and fail on other pictures.",
    }[status]
    return Verdict(status, summary, findings)


def _remedy(name: str) -> str:
    if name == "metadata":
        return f"give both classes the same processing: one size, one format and setting, no EXIF: {NORMALISE}."
    if name == "file_size":
        return (
            f"save both classes with the same encoder and settings: {NORMALISE}; if the sizes still differ, one class is "
            "smoother or noisier."
        )
    if name == "spectrum":
        return (
            "if both classes had the same cameras, scaling and compression, this is the generator's trace, which a "
            "detector may use; look at the spectra on the audit page. Otherwise give both classes the same processing."
        )
    return (
        "check whether background, light or framing differ between the classes; choose reals and fakes in the same way."
    )


def in_words(probe: Probe) -> str:
    """Its figure and interval, as the stage prints them."""
    if probe.accuracy is None:
        return "too few photos to measure"
    return f"{probe.accuracy:.3f} (95 % interval {probe.low:.3f} to {probe.high:.3f})"


def audit_metrics(verdict: Verdict, found: Measured) -> dict[str, Any]:
    """The metric: figures that `dvc metrics show` lists; the intervals are lists, which it leaves out."""
    names = ("exact_duplicates", "near_duplicates", "photos_in_several_splits")
    return {
        "verdict": verdict.status,
        "findings": [finding.text for finding in verdict.findings],
        "balanced_accuracy": {name: probe.accuracy for name, probe in found.probes.items()},
        "interval_95": {name: [probe.low, probe.high] for name, probe in found.probes.items()},
        **{name: found.copies.counts[name] for name in names},
        **({"apart": {kind: _figures(of) for kind, of in found.apart.items()}} if found.apart else {}),
        **({"probed_images": len(found.pictures.rows)} if len(found.pictures.rows) < len(found.facts) else {}),
    }


def _figures(probes: dict[str, Probe]) -> dict[str, list[float | None]]:
    """Balanced accuracy and the ends of its interval."""
    return {name: [probe.accuracy, probe.low, probe.high] for name, probe in probes.items()}
