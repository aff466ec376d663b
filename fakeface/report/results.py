"""What the stages wrote, as the report reads it, and what follows from it at once. Nothing is measured here."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fakeface.core.params import APPROACHES
from fakeface.core.perturbations import CELLS, Cell
from fakeface.scoring.cautions import CHANCE
from fakeface.scoring.markdown import Figure, figure_text

STEPS = {"jpeg": "JPEG quality {:g}", "blur": "blur, sigma {:g}", "resize": "scaled to {:.0%} and back",
         "noise": "noise, sigma {:g}"}  # fmt: skip
FRAGILE = 0.1  # loss of accuracy in a cell that is reported
# What verdicts are worth; of reports by an older version, or of a test set with one class, what comes next.
VERDICTS = ("balanced_accuracy_at_threshold", "accuracy_at_threshold", "accuracy")


@dataclass(frozen=True)
class ExtraSet:
    """A further test folder. `metrics`, `figures`: its metrics.json and figures.csv; `images`: real and fake ones."""

    metrics: dict[str, Any]
    figures: pd.DataFrame
    images: dict[str, int]


@dataclass(frozen=True)
class Results:
    """What the stages wrote, as read; every dict by approach has them in one order.

    Attributes:
        params: params.yaml; cards: approach -> card.json; costs: approach -> cost.json of this very model, or None.
        figures, pairs: figures.csv and pairs.csv of `evaluate`.
        folders, untested: `by_folder` and `not_in_test` of its metrics.json, if there.
        split, audit: summary.json, audit.json.
        cells, robustness: table.csv and metrics.json of `robustness`.
        errors: errors.csv of `explain` (approach, path, label, score), the hardest first.
        seeds, leak, leave_out: seeds.json, leak.json, leave_out.json, which say little unless their stages were asked for more.
        extra: by the names of evaluate.extra_sets.
    """

    params: dict[str, Any]
    cards: dict[str, dict[str, Any]]
    costs: dict[str, dict[str, Any] | None]
    figures: pd.DataFrame
    pairs: pd.DataFrame
    folders: dict[str, Any]
    untested: dict[str, str]
    split: dict[str, Any]
    audit: dict[str, Any]
    cells: pd.DataFrame
    robustness: dict[str, Any]
    errors: pd.DataFrame
    seeds: dict[str, Any]
    leak: dict[str, Any]
    leave_out: dict[str, Any]
    extra: dict[str, ExtraSet]


def read(params: dict[str, Any]) -> Results:
    """The results in the working folder. Raises FileNotFoundError where a stage has not written its own."""
    cards = {name: _json(f"models/{name}/card.json") for name in APPROACHES}
    scores = _json("reports/evaluate/metrics.json")
    return Results(
        params=params,
        cards=cards,
        costs={name: _cost(name, card["sha256"]) for name, card in cards.items()},
        figures=_table("reports/evaluate/figures.csv"),
        pairs=_table("reports/evaluate/pairs.csv"),
        folders=scores.get("by_folder", {}),
        untested=scores.get("not_in_test", {}),
        split=_json("reports/split/summary.json"),
        audit=_json("reports/audit/audit.json"),
        cells=_table("reports/robustness/table.csv"),
        robustness=_json("reports/robustness/metrics.json"),
        errors=_table("reports/explain/errors.csv"),
        seeds=_json("reports/seeds/seeds.json"),
        leak=_json("reports/leak/leak.json"),
        leave_out=_json("reports/leave_out/leave_out.json"),
        extra={name: _extra(Path("reports/extra", name)) for name in params["evaluate"]["extra_sets"]},
    )


def all_figures(figures: pd.DataFrame, approach: str) -> dict[str, Figure]:
    """figure -> value and 95 % interval on the test set, from figures.csv, without what the test set does not give."""
    rows = figures[figures["approach"] == approach].dropna(subset="value")
    ends = rows[["low", "high"]].astype(object).where(rows[["low", "high"]].notna(), None)
    return dict(zip(rows["figure"], zip(rows["value"] + 0.0, ends["low"], ends["high"], strict=True), strict=True))


def figure_of(figures: pd.DataFrame, approach: str, name: str) -> Figure | None:
    """One of `all_figures`; None where it is not there."""
    return all_figures(figures, approach).get(name)


def verdicts_of(figures: pd.DataFrame, approach: str) -> Figure:
    """Balanced accuracy of the verdicts on test: the headline."""
    found = all_figures(figures, approach)
    return next(found[name] for name in VERDICTS if name in found)


def accuracy_of(cells: pd.DataFrame, approach: str, figure: str = "accuracy") -> "pd.Series[float]":
    """A figure by the name of the cell, from robustness' table.csv."""
    return cells[cells["approach"] == approach].set_index("cell")[figure]


def under_perturbation(cells: pd.DataFrame, approach: str) -> "pd.Series[float]":
    """Balanced accuracy of the verdicts by the name of the cell."""
    return accuracy_of(cells, approach, next(name for name in VERDICTS if name in cells))


def fragile(approach: str, cells: pd.DataFrame) -> str:
    """What the worst perturbation does to it; empty when it loses little in all of them, or has nothing to lose."""
    accuracy = under_perturbation(cells, approach)
    worst = str(accuracy.idxmin())
    if guesses_clean(approach, cells) or float(accuracy["clean"] - accuracy[worst]) <= FRAGILE:
        return ""
    words = {cell.name: cell_words(cell) for cell in CELLS}
    own = cells[cells["approach"] == approach].set_index("cell").to_dict("index")
    figures = [(float(accuracy[cell]), own[cell].get("low"), own[cell].get("high")) for cell in ("clean", worst)]
    before, after = (figure_text(figure) for figure in figures)
    where = f" (on {own['clean']['images']} test images)" if "images" in own["clean"] else ""
    return f"{approach} falls from {before} to {after} balanced accuracy with {words[worst]}{where}"


def guesses_clean(approach: str, cells: pd.DataFrame) -> bool:
    """Whether it is no better than guessing on the images as they are: then it can fall no further."""
    low = cells[(cells["approach"] == approach) & (cells["cell"] == "clean")].iloc[0].get("low")
    return bool((under_perturbation(cells, approach)["clean"] if pd.isna(low) else low) <= CHANCE)


def cell_words(cell: Cell) -> str:
    """A cell of the protocol in words."""
    words = ", then ".join(STEPS[kind].format(strength) for kind, strength in cell.steps)
    return words.replace("%", " %") or "as they are"


def per_cent(value: float) -> str:
    """0.5 -> 50.0"""
    return f"{100 * value:.1f}"


def _extra(folder: Path) -> ExtraSet:
    labels = pd.read_csv(folder / "predictions.csv", usecols=["label"])["label"]
    images = {kind: int((labels == label).sum()) for label, kind in enumerate(("real", "fake"))}
    return ExtraSet(_json(folder / "metrics.json"), _table(folder / "figures.csv"), images)


def _json(path: Path | str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _table(path: Path | str) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"path": str})


def _cost(approach: str, model_sha256: str) -> dict[str, Any] | None:
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, StopIteration):  # none, or edited
        cost: dict[str, Any] = _json(f"reports/cost/{approach}.json")
        return next(one for one in (cost, *cost.get("earlier", [])) if one["model_sha256"] == model_sha256)
    return None
