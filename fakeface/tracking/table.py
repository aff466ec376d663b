"""DVC's experiments in a table that fits a terminal: `dvc exp show` has hundreds of columns."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fakeface.core.params import APPROACHES, Params

if TYPE_CHECKING:
    import pandas as pd


def table(rows: list[dict[str, Any]], scored: Callable[[dict[str, Any], str], bool]) -> "pd.DataFrame":
    """One row for the working tree, the commit, and each experiment that began there.

    Args:
        rows: of `dvc.api.exp_show`.
        scored: whether a row's test figures are of the very model of an approach that the row shows.

    Returns:
        Columns: experiment, state (where one waits, runs or failed), accuracies of val, which say which is best, and of test,
        and each parameter in which two rows differ; text, empty where a row has no value.
    """
    import pandas as pd

    shown = {"experiment": [row["Experiment"] or row["rev"] for row in rows]}
    states = ["" if row.get("State") in (None, "Success") else str(row["State"]) for row in rows]
    if any(states):
        shown["state"] = states
    values = {
        f"val {name}": [row.get(f"reports/train/{name}/metrics.json:val_accuracy") for row in rows]
        for name in APPROACHES
    }
    for name in APPROACHES:
        figures = [row.get(f"{name}.accuracy") for row in rows]
        values[f"test {name}"] = [
            figure if figure is not None and scored(row, name) else None
            for row, figure in zip(rows, figures, strict=True)
        ]
    for column, numbers in values.items():
        if any(number is not None for number in numbers):
            shown[column] = ["" if number is None else f"{number:.4f}" for number in numbers]
    names = {name: None for row in rows for name in row if name.split(".")[0] in Params.model_fields}
    for name in names:
        texts = [_text(row.get(name)) for row in rows]
        if len(set(texts)) > 1:
            shown[name] = texts
    return pd.DataFrame(shown)


def _text(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
