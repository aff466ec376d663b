"""Several trained detectors on the same labelled images: their figures, their differences, their scores."""

import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from fakeface.core.errors import UserError, printable, require_packages
from fakeface.core.files import sha256
from fakeface.core.params import Base, Split
from fakeface.library.data import NEEDED, arguments_named, found_rows, sections
from fakeface.library.detector import Detector, load_detector

if TYPE_CHECKING:
    import pandas as pd

    from fakeface.images.store import Dataset
    from fakeface.scoring.markdown import Figure

# What `load_detector` takes, or a loaded detector
Named = str | PathLike[str] | Detector

RESAMPLES = 2000
GROUPS = {"protocol": "fractions", "train": 0.6, "val": 0.15, "test": 0.25, "hash_distance": 4}
FIGURES = {
    "accuracy": "accuracy_at_threshold",
    "balanced_accuracy": "balanced_accuracy_at_threshold",
    "roc_auc": "roc_auc",
    "average_precision": "average_precision",
}


@dataclass(frozen=True, repr=False)
class Comparison:
    """Detectors on the same images, made by `compare`. `print` shows the tables of the report; so does a notebook.

    figures: a row for each detector, its name the index: threshold (chosen on its validation set), and at it accuracy and
        balanced_accuracy, then roc_auc and average_precision; each with `_low` and `_high` of its 95 % interval, by the
        bootstrap of groups. NaN where there is none, as for images of one class only.
    differences: a row for each pair of detectors: a, b, difference (balanced accuracy of a less that of b), low and high of its
        interval (95 % for all pairs together), p (of all pairs together), shown (whether the interval leaves out 0), sentence.
    predictions: a row for each image: path, label (0 real, 1 fake), problem (why it cannot be read, or empty), group,
        seen_in_training (path of the train or val image that shows the same photo, or empty; None where that is not known),
        and for each detector `score_<name>`, the probability of fake, NaN where the image cannot be read.
    notes: what to know before any figure, such as that a detector is no better than guessing.
    markdown: the report's tables.
    """

    figures: "pd.DataFrame"
    differences: "pd.DataFrame"
    predictions: "pd.DataFrame"
    notes: list[str]
    markdown: str

    def __repr__(self) -> str:
        return self.markdown

    def _repr_markdown_(self) -> str:
        return self.markdown


def compare(
    detectors: Named | Iterable[Named] | Mapping[str, Named],
    data: str | PathLike[str],
    *,
    split: "pd.DataFrame | None" = None,
    real: str | PathLike[str] = "0_real",
    fake: str | PathLike[str] = "1_fake",
    group_by: str = "photo",
    seed: int = 0,
) -> Comparison:
    """Scores detectors on the images of a labelled folder and compares them, as the stages `evaluate` and `extra` do.

    Each image is scored as a whole, its middle square; faces are not looked for. Images that a detector was trained on make its
    figures too good: pass `split`, or a folder of other images. They are recognised, with a warning, only where the working
    folder's `data/split` is what a detector was trained on: photos that look alike, with `split` only the same files.

    Args:
        detectors: one or several: what `load_detector` takes, or detectors; a dict gives them names.
        data: the folder with the class folders `real` and `fake`, of which one may be missing.
        split: what `fakeface.split` gave for `data`: only its images of the set `test` count, and its groups.
        group_by: as in `fakeface.split`, for images without `split`: intervals and tests take groups for independent, not images.
        seed: of the bootstrap.

    Raises:
        UserError: there is no such detector, folder or image, or two detectors have the same name.
    """
    import pandas as pd

    require_packages("pipeline", *NEEDED)
    from fakeface.scoring.cautions import cautions
    from fakeface.scoring.folders import sub_folders
    from fakeface.scoring.summary import summarise

    loaded = _loaded(detectors)
    folder = Path(data).expanduser()
    cards = {name: detector.card for name, detector in loaded.items()}
    kinds = {name: (card["image_size"], card.get("pixels", "resized")) for name, card in cards.items()}
    scores: dict[str, np.ndarray] = {}
    with TemporaryDirectory(prefix="fakeface") as temporary:
        for number, kind in enumerate(sorted(set(kinds.values()))):  # in each way that a detector sees them
            pixels = Path(temporary, str(number), "pixels.npy")
            pixels.parent.mkdir()
            with arguments_named():
                base, p = sections(
                    folder, real, fake, image_size=kind[0], store=kind[1], seed=seed, group_by=group_by, **GROUPS
                )
                images, rows = _read(folder, pixels, base, p, split)
            names = [name for name in loaded if kinds[name] == kind]
            scores |= {
                name: loaded[name]._predictor.scores(images.pixels, np.arange(len(images.labels))) for name in names
            }
        seen = _seen(images, cards, split is not None)
    scores = {name: scores[name] for name in loaded}
    manifest, source = images.manifest, images.manifest["source"].to_numpy()
    every = rows if split is None else split
    folders = dict(zip(every["path"], sub_folders(every["path"].tolist(), every["label"].to_numpy()), strict=True))
    mine = np.array([folders[path] for path in manifest["path"]], dtype=object)
    summary = summarise(images.labels, scores, cards, source, mine, resamples=RESAMPLES, seed=seed)

    notes, markdown = cautions(summary.found(), *summary.images, summary.photos), summary.markdown(printable(folder))
    if unreadable := int((rows["problem"] != "").sum()):
        notes.insert(
            0, f"{unreadable} of {len(rows)} images are missing or cannot be read, and are not in the figures."
        )
        markdown += f"\n**{notes[0]}**\n"
        warnings.warn(notes[0], stacklevel=2)
    if seen is not None and (count := int((seen != "").sum())):
        notes.insert(0, f"{count} of the images show photos of train or val: figures are too optimistic.")
        markdown += f"\n**{notes[0]}**\n"
        warnings.warn(notes[0], stacklevel=2)
    scored = manifest[["path"]].assign(group=_first_path(manifest), seen_in_training=seen)
    scored = scored.assign(**{f"score_{name}": values for name, values in scores.items()})
    columns = ["threshold", *(f"{name}{end}" for name in FIGURES for end in ("", "_low", "_high"))]
    return Comparison(
        figures=pd.DataFrame([_row(of) for of in summary.found().values()], list(loaded), columns, "float64"),
        differences=summary.differences()[["a", "b", "difference", "low", "high", "p", "shown", "sentence"]],
        predictions=rows.merge(scored, "left", on="path").fillna({"group": ""}),
        notes=notes,
        markdown=markdown,
    )


def _loaded(detectors: Named | Iterable[Named] | Mapping[str, Named]) -> dict[str, Detector]:
    """By name: as given, or the approach of a detector that was given without one."""
    if isinstance(detectors, Mapping):
        named: Iterable[tuple[str, Named]] = detectors.items()
    else:
        several = [detectors] if isinstance(detectors, str | PathLike | Detector) else detectors
        named = (("" if isinstance(one, Detector) else fspath(one), one) for one in several)
    loaded: dict[str, Detector] = {}
    for given, one in named:
        detector = one if isinstance(one, Detector) else load_detector(one)
        name = given or detector.card["approach"]
        if name in loaded:
            raise UserError(f"{name}: two detectors have this name; give a dict of names and detectors")
        loaded[name] = detector
    if not loaded:
        raise UserError("no detector to compare; give one or several, such as 'finetune'")
    return loaded


def _read(
    folder: Path, pixels: Path, base: Base, p: Split, table: "pd.DataFrame | None"
) -> tuple["Dataset", "pd.DataFrame"]:
    """The images to score, grouped; and of all that are there path, label, and why they cannot be read: problem."""
    import pandas as pd

    from fakeface.images.decode import Found
    from fakeface.images.rows import PixelFile
    from fakeface.images.store import WHOLE, Dataset
    from fakeface.split.extra import find_extra, read_extra
    from fakeface.split.grouping import check_names, group_names
    from fakeface.split.read import read_images

    if table is None:
        if not any((folder / name).is_dir() for name in (p.real, p.fake)):
            raise UserError(
                f"{folder}: no such folder, or it has neither {p.real} nor {p.fake}; set data, real and fake"
            )
        found = find_extra("", str(folder), p.real, p.fake)
        check_names(group_names([image.stem for image in found], p.group_by), p.group_by)
        images, bad = read_extra(folder, found, pixels, base, p)
    else:
        if not isinstance(table, pd.DataFrame):
            raise UserError(f"split: {type(table).__name__}; give the table of fakeface.split")
        if missing := {"path", "label", "group", "set"} - set(table.columns):
            raise UserError(f"split: has no {', '.join(sorted(missing))}; give the table of fakeface.split")
        rows = table[table["set"] == "test"]
        if rows.empty:
            raise UserError("split: has no image in the set test")
        if rows[["path", "label", "group"]].isna().any(axis=None) or not rows["label"].isin([0, 1]).all():
            raise UserError("split: has a test image without path or group, or with a label that is not 0 or 1")
        if rows["path"].duplicated().any():
            raise UserError(f"split: {rows['path'][rows['path'].duplicated()].iloc[0]} is there twice")
        found = [Found(path, path, label) for path, label in zip(rows["path"], rows["label"].tolist(), strict=True)]
        manifest, _, bad = read_images(folder, found, pixels, base, p)
        manifest["source"] = manifest["path"].map(dict(zip(rows["path"], rows["group"], strict=True)))
        whole = PixelFile(pixels.with_name(WHOLE)) if p.store == "native" else None
        images = Dataset(folder, manifest, PixelFile(pixels), whole)
    return images, found_rows(found, bad)


def _seen(images: "Dataset", cards: Mapping[str, Mapping[str, Any]], same_files: bool) -> np.ndarray | None:
    """`seen_in_training`, or of the `same_files` alone, for detectors trained on the split in the working folder, or None."""
    from fakeface.images.store import Dataset
    from fakeface.split.extra import seen_in_training

    with suppress(OSError, UserError):  # there is none, or it is damaged
        if sha256("data/split/manifest.csv") in {card["data_hash"] for card in cards.values()}:
            dataset = Dataset.open()
            if not same_files:
                return seen_in_training(images, dataset)
            learnt = dataset.manifest[dataset.manifest["split"].isin(["train", "val"])]
            paths = dict(zip(learnt["sha256"], learnt["path"], strict=True))
            return np.array([paths.get(digest, "") for digest in images.manifest["sha256"]], dtype=object)
    return None


def _first_path(manifest: "pd.DataFrame") -> "pd.Series[str]":
    """The group of each image as `fakeface.split` names it."""
    if manifest["source"].dtype.kind != "i":
        return manifest["source"]
    return manifest.groupby("source")["path"].transform("first").str.rsplit(".", n=1).str[0]


def _row(found: Mapping[str, "Figure"]) -> dict[str, float | None]:
    row: dict[str, float | None] = {"threshold": found["threshold"][0]}
    for name, figure in FIGURES.items():
        row[name], row[f"{name}_low"], row[f"{name}_high"] = found.get(figure, (None, None, None))
    return row
