"""`fakeface diff REV`: what a change did to parameters, data and figures, as Markdown for a pull request.

Compared are the files that git keeps: params.yaml and the small results in reports/. Nothing is computed again.
"""

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from fakeface.core.errors import UserError, printable

# figures.csv's name: what a reader calls it, and what a fraction is multiplied by
SHOWN = {"balanced_accuracy_at_threshold": ("balanced accuracy, %", 100), "roc_auc": ("ROC-AUC", 1)}
SUMMARY, FIGURES, PAIRS = "reports/split/summary.json", "reports/evaluate/figures.csv", "reports/evaluate/pairs.csv"


def markdown(revision: str) -> str:
    """The working folder against `revision`.

    Raises:
        UserError: there is no such revision, or one of the files is missing or not readable.
    """
    commit = _git("rev-parse", "--verify", "--quiet", "--short", f"{revision}^{{commit}}")
    if commit is None:
        raise UserError(f"{printable(revision)}: no such revision; run this from the project's root, in a git clone")
    then = commit.strip()
    parts = [f"## Against {printable(revision)} ({then})", *_parameters(then), *_data(then), *_figures(then)]
    return "\n\n".join(parts) + "\n"


def _parameters(then: str) -> Iterator[str]:
    before, now = (dict(_flat(YAML(typ="safe").load(_text("params.yaml", at)))) for at in (then, None))
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    yield "### Parameters"
    rows = [(f"`{key}`", _value(before.get(key)), _value(now.get(key))) for key in changed]
    yield _table(("", "before", "now"), rows) if rows else "None changed."


def _data(then: str) -> Iterator[str]:
    before, now = (json.loads(_text(SUMMARY, at)) for at in (then, None))
    yield "### Data"
    if before["data_hash"] == now["data_hash"]:
        yield "The same images and the same split."
        return
    rows = [(key, before.get(key, ""), now[key]) for key in ("images", "photos", "groups", "skipped")]
    for split in ("train", "val", "test"):
        rows += [(f"{split}, {kind}", before[split][kind], now[split][kind]) for kind in ("real", "fake")]
    yield _table(("", "before", "now"), rows)
    yield "**The test images differ, so the figures below are not of the same images.**"


def _figures(then: str) -> Iterator[str]:
    before, now = (
        pd.read_csv(io.StringIO(_text(FIGURES, at))).set_index(["approach", "figure"]) for at in (then, None)
    )
    rows = []
    for approach in dict.fromkeys([*before.index.get_level_values(0), *now.index.get_level_values(0)]):
        for figure, (name, factor) in SHOWN.items():
            cells = [
                table.loc[(approach, figure)] if (approach, figure) in table.index else None for table in (before, now)
            ]
            change = ""
            if cells[0] is not None and cells[1] is not None:
                change = f"{factor * (cells[1].value - cells[0].value):+.{1 if factor > 1 else 3}f}"
            rows.append((approach, name, *(_figure(cell, factor) for cell in cells), change))
    yield "### Test figures (95 % intervals)"
    yield _table(("approach", "figure", "before", "now", "change"), rows)
    yield "### Pairs now"
    sentences = pd.read_csv(io.StringIO(_text(PAIRS, None)))["sentence"]
    yield "\n".join(f"- {sentence}" for sentence in sentences)


def _figure(cell: Any, factor: int) -> str:
    if cell is None:
        return ""
    digits = 1 if factor > 1 else 3
    low, high = (f"{factor * bound:.{digits}f}" for bound in (cell.low, cell.high))
    return f"{factor * cell.value:.{digits}f}" + ("" if pd.isna(cell.low) else f" ({low} to {high})")


def _text(path: str, at: str | None) -> str:
    """A file of the working folder, or of the commit that `at` names."""
    if at is None:
        try:
            return Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; run `dvc repro` first") from None
    text = _git("show", f"{at}:./{path}")
    if text is None:
        raise UserError(f"{path}: is not in {at}; choose a revision whose results were committed")
    return text


def _git(*arguments: str) -> str | None:
    """What git answers; None where it refuses."""
    done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8")
    return done.stdout if done.returncode == 0 else None


def _flat(values: Any, start: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from _flat(value, f"{start}.{key}" if start else str(key))
    else:
        yield start, values


def _value(value: Any) -> str:
    return "" if value is None else f"`{printable(value)}`".replace("|", "\\|")


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
