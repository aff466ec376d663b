"""All figures of all approaches on one set, with intervals and comparisons: as numbers, as tables, as words."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakeface.core.files import write_csv, write_json, write_text
from fakeface.detector.calibration import uncalibrated
from fakeface.scoring.cautions import cautions, guessing
from fakeface.scoring.comparison import Pair, compare
from fakeface.scoring.folders import Rows, by_folder
from fakeface.scoring.folders import markdown as folder_table
from fakeface.scoring.intervals import bootstrap, interval
from fakeface.scoring.markdown import PER_CENT, PLAIN, Figure, figure_text, markdown_table
from fakeface.scoring.metrics import calibration, evaluate

# What `dvc metrics` and MLflow show; everything else is in figures.csv.
HEADLINE = (
    "accuracy",
    "accuracy_real",
    "accuracy_fake",
    "false_positive_rate",
    "average_precision",
    "roc_auc",
    "eer",
    "log_loss",
    "accuracy_at_threshold",
    "balanced_accuracy_at_threshold",
)
WITH_INTERVAL = ("accuracy", "balanced_accuracy_at_threshold")


@dataclass(frozen=True)
class Summary:
    """`figures`: approach -> figure -> value; `intervals`: approach -> figure -> (low, high), where there is one; `models`:
    approach -> sha256 of the weights that were scored; `images`: real and fake ones; `folders`: `folders.by_folder`;
    `untested`: `folders.not_in_test`."""

    figures: dict[str, dict[str, Any]]
    intervals: dict[str, dict[str, tuple[float, float]]]
    pairs: list[Pair]
    images: tuple[int, int]
    photos: int
    models: dict[str, str]
    folders: Rows
    untested: dict[str, str] = field(default_factory=dict)

    def found(self) -> dict[str, dict[str, Figure]]:
        """approach -> figure -> value and interval."""
        return {
            name: {
                figure: (value, *self.intervals[name].get(figure, (None, None))) for figure, value in figures.items()
            }
            for name, figures in self.figures.items()
        }

    def headline(self) -> dict[str, dict[str, Any]]:
        """approach -> few figures, some with their interval, the number of images, and which model it was; `guessing`: true
        where it is no better than that."""
        rows: dict[str, dict[str, Any]] = {}
        for name, figures in self.figures.items():
            rows[name] = {}
            for figure in HEADLINE:
                if figure in figures:
                    rows[name][figure] = figures[figure]
                if figure in WITH_INTERVAL and figure in self.intervals[name]:
                    low, high = self.intervals[name][figure]
                    rows[name] |= {f"{figure}_low": round(low, 6), f"{figure}_high": round(high, 6)}
            rows[name] |= {"n_test": sum(self.images), "model_sha256": self.models[name]}
            if guessing(self.found()[name]):
                rows[name]["guessing"] = True
        return rows

    def table(self) -> pd.DataFrame:
        """One row an approach and figure: name (of both, for plots), approach, figure, value, low, high."""
        rows = [
            (f"{figure}, {name}", name, figure, value, *self.intervals[name].get(figure, (None, None)))
            for name, figures in self.figures.items()
            for figure, value in figures.items()
            if figure in PER_CENT or figure in PLAIN
        ]
        return pd.DataFrame(rows, columns=["name", "approach", "figure", "value", "low", "high"]).round(6)

    def differences(self) -> pd.DataFrame:
        """One row a pair: the fields of `Pair`, whether a difference is shown, and the sentence."""
        rows = [
            {"pair": f"{pair.a} - {pair.b}", **asdict(pair), "shown": pair.shown, "sentence": pair.sentence}
            for pair in self.pairs
        ]
        columns = ["pair", *(field.name for field in fields(Pair)), "shown", "sentence"]
        return pd.DataFrame(rows, columns=columns).round(
            {"accuracy_a": 6, "accuracy_b": 6, "difference": 6, "low": 6, "high": 6}
        )

    def markdown(self, title: str) -> str:
        """For people: a table with intervals, and the sentences."""
        names, found = list(self.figures), self.found()
        rows = [
            [words, *(figure_text(found[name][figure], figure in PER_CENT) for name in names)]
            for figure, words in (PER_CENT | PLAIN).items()
            if all(figure in found[name] for name in names)
        ]
        lines = [
            f"# {title}: {sum(self.images)} images of {self.photos} photos\n",
            *(f"**{text}**\n" for text in cautions(found, *self.images, self.photos)),
            markdown_table(["", *names], rows),
            "\nIn brackets 95 % intervals. What each figure is: docs/compare.md.\n",
            *(f"- {pair.sentence}" for pair in self.pairs),
        ]
        return "\n".join(lines) + "\n" + folder_table(self.folders, names, self.untested)

    def write(self, folder: Path | str, title: str, **counts: int) -> None:
        """metrics.json (the headline, `counts`, and where there are sub-folders `by_folder`, `not_in_test`), figures.csv,
        pairs.csv, table.md."""
        folder = Path(folder)
        named = {"by_folder": self.folders, "not_in_test": self.untested}
        rows = {key: value for key, value in named.items() if value}
        write_json(folder / "metrics.json", self.headline() | counts | rows)
        write_csv(folder / "figures.csv", self.table())
        write_csv(folder / "pairs.csv", self.differences())
        write_text(folder / "table.md", self.markdown(title))


def summarise(
    labels: np.ndarray,
    scores: Mapping[str, np.ndarray],
    cards: Mapping[str, Mapping[str, Any]],
    source: np.ndarray,
    folders: np.ndarray | None = None,
    *,
    resamples: int,
    seed: int,
) -> Summary:
    """Every figure of every approach on one set.

    Args:
        labels: int [N]; scores: approach -> float [N], calibrated; source: [N], the photo of each image.
        folders: str [N], of `folders.sub_folders`. cards: approach -> card, of which threshold, temperature and sha256 are read.
    """
    thresholds = {name: float(cards[name]["threshold"]) for name in scores}
    resampled = bootstrap(labels, scores, thresholds, source, resamples=resamples, seed=seed)
    figures: dict[str, dict[str, Any]] = {}
    intervals: dict[str, dict[str, tuple[float, float]]] = {}
    for name, values in scores.items():
        figures[name] = evaluate(labels, values, thresholds[name])
        temperature = float(cards[name]["temperature"])
        if "brier" in figures[name]:
            before = calibration(labels, uncalibrated(values, temperature))
            figures[name] |= {f"{figure}_uncalibrated": round(value, 6) for figure, value in before.items()}
        figures[name]["temperature"] = round(temperature, 6)
        intervals[name] = {
            figure: found
            for figure in figures[name]
            if figure in resampled[name] and (found := interval(figure, resampled[name][figure], labels, source))
        }
    pairs = compare(labels, scores, thresholds, source, seed)
    models = {name: str(cards[name]["sha256"]) for name in scores}
    images = (int((labels == 0).sum()), int((labels == 1).sum()))
    rows = (
        {}
        if folders is None
        else by_folder(folders, labels, scores, thresholds, source, resamples=resamples, seed=seed)
    )
    return Summary(figures, intervals, pairs, images, len(np.unique(source)), models, rows)
