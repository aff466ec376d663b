"""DVC's experiments in a table that fits a terminal: `dvc exp show` has hundreds of columns."""

from typing import TYPE_CHECKING, Any

from fakeface.core.params import APPROACHES, Params

if TYPE_CHECKING:
    import pandas as pd

# column -> the name that DVC gives it; the first three say which is best, the test figures choose nothing
ACCURACIES = {f"val {name}": f"reports/train/{name}/metrics.json:val_accuracy" for name in APPROACHES}
ACCURACIES |= {f"test {name}": f"{name}.accuracy" for name in APPROACHES}


def table(rows: list[dict[str, Any]]) -> "pd.DataFrame":
    """One row for the working tree, the commit, and each experiment that began there.

    Args:
        rows: of `dvc.api.exp_show`.

    Returns:
        Columns: experiment, state (where one waits, runs or failed), accuracies of val and test, and each parameter in which two
        rows differ; text, empty where a row has no value.
    """
    import pandas as pd

    shown = {"experiment": [row["Experiment"] or row["rev"] for row in rows]}
    states = ["" if row.get("State") in (None, "Success") else str(row["State"]) for row in rows]
    if any(states):
        shown["state"] = states
    for column, name in ACCURACIES.items():
        values = [row.get(name) for row in rows]
        if any(value is not None for value in values):
            shown[column] = ["" if value is None else f"{value:.4f}" for value in values]
    names = {name: None for row in rows for name in row if name.split(".")[0] in Params.model_fields}
    for name in names:
        texts = [_text(row.get(name)) for row in rows]
        if len(set(texts)) > 1:
            shown[name] = texts
    return pd.DataFrame(shown)


def _text(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
