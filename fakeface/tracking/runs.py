"""What a training's run holds. `write` is the one function that fills it, while the training runs and afterwards alike; every
function raises what mlflow raises.

The names have groups before the slash, which MLflow's charts show together. `val/accuracy` is a curve, of which MLflow's tables
show the last epoch; the epoch that was kept need not be that one, so its figures have names of their own: `val/kept_...`.
"""

import csv
import io
import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# MLflow's page for comparing runs begins with the first one
CURVES = {
    "val_accuracy": "val/accuracy",
    "val_loss": "val/loss",
    "train_loss": "train/loss",
    "train_accuracy": "train/accuracy",
}
KEPT = {"val_loss": "val/kept_loss", "val_accuracy": "val/kept_accuracy", "best_epoch": "val/kept_epoch"}
HEADLINE = "balanced_accuracy_at_threshold"  # of the verdicts; the accuracies are at 0.5
TEST = (HEADLINE, "accuracy", "accuracy_real", "accuracy_fake", "roc_auc", "average_precision")
CARD = {"sha256": "model_sha256", "data_hash": "data_hash", "network": "network", "precision": "precision"}  # -> tag
FOUND = {
    "evaluate": "reports/evaluate/metrics.json",
    "robustness": "reports/robustness/metrics.json",
    "variants": "reports/leave_out/leave_out.json",
}
BATCH = 900  # metrics; MLflow takes 1000 at once


@dataclass
class Training:
    """What is known of one training; what is not known, while it runs or without its model, is empty.

    Attributes:
        params: by dotted name.
        files: texts of history.csv, metrics.json and card.json.
        card: of the model; while the training runs those of its entries that are known.
        figures: of this very model by the names that the run shows, from `figures`.
    """

    params: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)


def figures(stage: str, approach: str, metrics: dict[str, Any]) -> dict[str, float]:
    """An approach's figures from what `evaluate`, `robustness` or `variants` found; those that are undefined are left out."""
    own = metrics.get(approach, {})
    if stage == "evaluate":
        found = {f"test/{name}": own.get(name) for name in TEST}
    elif stage == "variants":
        areas = {f"{name}_roc_auc": of[name]["roc_auc"] for name, of in own.get("trained_without", {}).items()}
        named = {re.sub(r"[^\w.-]", "_", name): value for name, value in (areas | own.get("left_out", {})).items()}
        found = {f"leave_out/{name}": value for name, value in named.items()}
    else:
        found = {f"robustness/{name}": own.get("accuracy", {}).get(name) for name in ("mean", "worst")}
    return {name: float(value) for name, value in found.items() if value is not None}


def cost(text: str, card: dict[str, Any]) -> dict[str, float]:
    """The minutes from `reports/cost/<approach>.json`, if they are about the model with this card."""
    last = json.loads(text)
    found = [one["minutes"] for one in (last, *last.get("earlier", [])) if one["model_sha256"] == card.get("sha256")]
    return {"cost/minutes": float(found[0])} if found else {}


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def shown(value: Any) -> str:
    """A parameter as text: 50.0, as params.yaml's reader makes it, and 50, as dvc.lock has it, are one."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def write(client: Any, run_id: str, training: Training) -> set[int]:
    """Brings a run up to what is known of its training, and ends it once the metrics are; what is there already stays.

    Several processes may write the same training at once: whatever both write is equal, to the timestamp.

    Returns:
        The epochs that the run has.
    """
    from mlflow.entities import Param, RunTag

    run = client.get_run(run_id)
    params = [Param(key, shown(value)) for key, value in training.params.items() if key not in run.data.params]
    tags = {tag: str(training.card[key]) for key, tag in CARD.items() if training.card.get(key)}
    tags = {tag: value for tag, value in tags.items() if run.data.tags.get(tag) != value}
    client.log_batch(run_id, params=params, tags=[RunTag(*item) for item in tags.items()])
    known = {metric.step for metric in client.get_metric_history(run_id, CURVES["val_loss"])}
    if "history.csv" in training.files:
        rows = csv.DictReader(io.StringIO(training.files["history.csv"]))
        log_epochs(client, run_id, [row for row in rows if int(row["epoch"]) not in known], run.info.start_time)
    if "metrics.json" in training.files:
        metrics = json.loads(training.files["metrics.json"])
        kept = {name: metrics[key] for key, name in KEPT.items() if key in metrics}
        log_figures(client, run, kept | training.figures)
        stored = {file.path for file in client.list_artifacts(run_id)}
        for name in sorted(set(training.files) - stored):
            client.log_text(run_id, training.files[name], name)
        client.set_terminated(run_id, "FINISHED")
    return known


def log_epochs(client: Any, run_id: str, rows: Iterable[dict[Any, Any]], at: int) -> None:
    """Logs rows of a history as of `at` (ms since 1970), step = epoch."""
    from mlflow.entities import Metric

    metrics = [
        Metric(name, float(row[key]), at, int(row["epoch"]))
        for row in rows
        for key, name in CURVES.items()
        if key in row
    ]
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])


def log_figures(client: Any, run: Any, values: dict[str, float]) -> bool:
    """Logs those of the single figures that the run does not show yet; whether there were any."""
    from mlflow.entities import Metric

    at = int(time.time() * 1000)
    new = [Metric(name, value, at, 0) for name, value in values.items() if run.data.metrics.get(name) != value]
    if new:
        client.log_batch(run.info.run_id, metrics=new)
    return bool(new)


def log_pictures(client: Any, run_id: str, approach: str, folder: Path, others: Iterable[str]) -> None:
    """Logs the pictures in a stage's `reports/<stage>/figures` as artifacts, but those of other approaches alone."""
    for path in sorted(folder.glob("*.png")):
        if not any(path.stem.endswith(f"_{name}") for name in others if name != approach):
            client.log_artifact(run_id, str(path), folder.parent.name)
