"""DVC's experiments in a table that fits a terminal: `dvc exp show` has hundreds of columns."""

from typing import TYPE_CHECKING, Any

from fakeface.core.params import APPROACHES, Params
from fakeface.tracking.runs import HEADLINE

if TYPE_CHECKING:
    import pandas as pd


def table(rows: list[dict[str, Any]]) -> "pd.DataFrame":
    """One row for the working tree, the commit, and each experiment that began there.

    Args:
        rows: of `dvc.api.exp_show`.

    Returns:
        Columns: experiment, state (where one waits, runs or failed), accuracies of val, which say which is best, the headline of
        test (balanced accuracy at the val threshold) where it is of the row's own model, and each parameter in which two rows
        differ; text, empty where a row has no value.
    """
    import pandas as pd

    shown = {"experiment": [row["Experiment"] or row["rev"] for row in rows]}
    states = ["" if row.get("State") in (None, "Success") else str(row["State"]) for row in rows]
    if any(states):
        shown["state"] = states
    values = {f"val {name}": [_val_accuracy(row, name) for row in rows] for name in APPROACHES}
    values |= {f"test {name}": [_tested(row, name) for row in rows] for name in APPROACHES}
    for column, numbers in values.items():
        if any(number is not None for number in numbers):
            shown[column] = ["" if number is None else f"{number:.4f}" for number in numbers]
    names = {name: None for row in rows for name in row if name.split(".")[0] in Params.model_fields}
    for name in names:
        texts = [_text(row.get(name)) for row in rows]
        if len(set(texts)) > 1:
            shown[name] = texts
    return pd.DataFrame(shown)


def _val_accuracy(row: dict[str, Any], approach: str) -> Any:
    """Balanced where the classes differ in number, as the choice of the best has it."""
    balanced = _trained(row, approach, "val_balanced_accuracy")
    return _trained(row, approach, "val_accuracy") if balanced is None else balanced


def _trained(row: dict[str, Any], approach: str, name: str) -> Any:
    return row.get(f"reports/train/{approach}/metrics.json:{name}")


def _tested(row: dict[str, Any], approach: str) -> Any:
    # DVC puts the file before a key that several files have
    names = (f"{approach}.{HEADLINE}", f"{approach}.model_sha256")
    accuracy, model = (row.get(f"reports/evaluate/metrics.json:{name}", row.get(name)) for name in names)
    return accuracy if model is not None and model == _trained(row, approach, "model_sha256") else None


def _text(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
