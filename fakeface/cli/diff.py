"""`fakeface diff REV`: what a change did to parameters, data and figures, as Markdown for a pull request.

Compared are the files that git keeps: params.yaml and the small results in reports/. Nothing is computed again.
"""

import io
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from fakeface.core.errors import NO_PROJECT, UserError, one_line, printable
from fakeface.scoring.markdown import markdown_table
from fakeface.tracking.runs import flatten

# figures.csv's name: what a reader calls it, and what a fraction is multiplied by
SHOWN = {"balanced_accuracy_at_threshold": ("balanced accuracy, %", 100), "roc_auc": ("ROC-AUC", 1)}
SUMMARY, FIGURES, PAIRS = "reports/split/summary.json", "reports/evaluate/figures.csv", "reports/evaluate/pairs.csv"


def markdown(revision: str) -> str:
    """The working folder against `revision`.

    Raises:
        UserError: there is no project, no such revision, or one of the files is missing or not readable.
    """
    if not Path("params.yaml").is_file():
        raise UserError(f"params.yaml: no such file; {NO_PROJECT}")
    commit = _git("rev-parse", "--verify", "--quiet", "--short", f"{revision}^{{commit}}")
    if commit is None:
        raise UserError(f"{printable(revision)}: no such revision; `git log --oneline` lists them")
    then = commit.strip()
    parts = [f"## Against {printable(revision)} ({then})", *_parameters(then), *_data(then), *_figures(then)]
    return "\n\n".join(parts) + "\n"


def _parameters(then: str) -> Iterator[str]:
    before, now = (flatten(_read("params.yaml", at, YAML(typ="safe", pure=True).load)) for at in (then, None))
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    yield "### Parameters"
    rows = [(f"`{key}`", _value(before.get(key)), _value(now.get(key))) for key in changed]
    yield markdown_table(("", "before", "now"), rows) if rows else "None changed."


def _data(then: str) -> Iterator[str]:
    before, now = (_read(SUMMARY, at, json.loads) for at in (then, None))
    yield "### Data"
    if before["data_hash"] == now["data_hash"]:
        yield "The same images and the same split."
        return
    rows = [[key, str(before.get(key, "")), str(now[key])] for key in ("images", "photos", "groups", "skipped")]
    for split in ("train", "val", "test"):
        rows += [[f"{split}, {kind}", str(before[split][kind]), str(now[split][kind])] for kind in ("real", "fake")]
    yield markdown_table(("", "before", "now"), rows)
    yield "**The test images differ, so the figures below are not of the same images.**"


def _figures(then: str) -> Iterator[str]:
    before, now = (_read(FIGURES, at, _csv).set_index(["approach", "figure"]) for at in (then, None))
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
    yield markdown_table(("approach", "figure", "before", "now", "change"), rows)
    yield "### Pairs now"
    sentences = _read(PAIRS, None, _csv)["sentence"]
    yield "\n".join(f"- {sentence}" for sentence in sentences)


def _figure(cell: Any, factor: int) -> str:
    if cell is None:
        return ""
    digits = 1 if factor > 1 else 3
    low, high = (f"{factor * bound:.{digits}f}" for bound in (cell.low, cell.high))
    return f"{factor * cell.value:.{digits}f}" + ("" if pd.isna(cell.low) else f" ({low} to {high})")


def _csv(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text))


def _read(path: str, at: str | None, parse: Callable[[str], Any]) -> Any:
    """What `parse` makes of a file of the working folder, or of the commit that `at` names."""
    try:
        text = Path(path).read_text(encoding="utf-8") if at is None else _git("show", f"{at}:./{path}")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; run `dvc repro` first") from None
    if text is None:
        raise UserError(f"{path}: is not in {at}; choose a revision whose results were committed")
    try:
        return parse(text)
    except (ValueError, RecursionError, YAMLError) as error:
        raise UserError(f"{path}{f' in {at}' if at else ''}: not readable ({one_line(error)})") from None


def _git(*arguments: str) -> str | None:
    """What git answers; None where it refuses."""
    done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8")
    return done.stdout if done.returncode == 0 else None


def _value(value: Any) -> str:
    return "" if value is None else f"`{printable(value)}`".replace("|", "\\|")
