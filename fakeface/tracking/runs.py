"""What is written into a run, live or afterwards; every function raises what mlflow raises."""

import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def log_numbers(client: Any, run_id: str, values: dict[str, Any], step: int = 0, now: float | None = None) -> None:
    """Logs the numbers among `values` (nested ones by dotted names), as of `now` (seconds since 1970)."""
    from mlflow.entities import Metric

    at = int((time.time() if now is None else now) * 1000)
    numbers = {
        key: float(value)
        for key, value in flatten(values).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    client.log_batch(run_id, metrics=[Metric(key, value, at, step) for key, value in numbers.items()])


def log_params(client: Any, run_id: str, values: dict[str, Any]) -> None:
    """Logs parameters, nested ones by dotted names."""
    from mlflow.entities import Param

    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in flatten(values).items()])


def log_epoch(client: Any, run_id: str, row: dict[str, float], now: float | None = None) -> None:
    """Logs one row of a history, step = epoch."""
    log_numbers(client, run_id, {key: v for key, v in row.items() if key != "epoch"}, int(row["epoch"]), now)


def log_final(client: Any, run_id: str, metrics: dict[str, Any], curves: Iterable[str]) -> None:
    """Logs final metrics. One that also has a curve is logged as `kept_...`: MLflow's table shows a curve's last epoch, which
    need not be the one kept."""
    with_curve = set(curves)
    final = {f"kept_{key}" if key in with_curve else key: value for key, value in flatten(metrics).items()}
    log_numbers(client, run_id, final)


def log_test(client: Any, run_id: str, metrics: dict[str, Any]) -> None:
    """Logs one approach's metrics of `evaluate` as `test_...`."""
    log_numbers(client, run_id, {f"test_{key}": value for key, value in flatten(metrics).items()})


def draw_curves(histories: "dict[str, pd.DataFrame]") -> Any:
    """A picture of the histories, a matplotlib figure."""
    from fakeface.scoring.figures import curves

    return curves(histories)


def log_curves(client: Any, run_id: str, picture: Any) -> None:
    """Logs the picture of the histories."""
    client.log_figure(run_id, picture, "curves.png")


def log_data(client: Any, run_id: str, data_hash: str, stage: str) -> None:
    """Logs the split that a run of `stage` rests on as an MLflow dataset: runs on the same data have one digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"dvc": "data/split", "manifest_sha256": data_hash})
    dataset = Dataset(name="split", digest=data_hash[:32], source_type="local", source=source)
    context = "training" if stage.startswith("train_") else "evaluation"
    client.log_inputs(run_id, datasets=[DatasetInput(dataset, tags=[InputTag("mlflow.data.context", context)])])
