"""The only file that imports mlflow. MLflow is a view of what DVC owns: no stage fails because of it.

The store is SQLite at the project's root (`mlflow.db`, artifacts in `mlruns/`), where a plain `mlflow ui` finds it;
`MLFLOW_TRACKING_URI` names another one. Stages started by DVC find the root in `DVC_ROOT`, also in a temporary
experiment's folder.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fakeface.params import Section

EXPERIMENT = "fakeface"
# Set before mlflow is imported: no telemetry, and a server that is away costs seconds, not minutes.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "5",
    "MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}


class Tracker:
    """Logs to one run; after the first error it says so once and stays silent, so training goes on."""

    def __init__(self) -> None:
        self.client: Any = None
        self.run_id = ""
        self.monitor: Any = None

    def epoch(self, row: dict[str, float]) -> None:
        """Logs one row of the history, step = epoch."""
        values = {key: value for key, value in row.items() if key != "epoch"}
        self._try(lambda: self._log(values, int(row["epoch"])))

    def tag(self, key: str, value: str) -> None:
        """Adds a tag that is known only at the end, such as the checkpoint's hash."""
        self._try(lambda: self.client.set_tag(self.run_id, key, value))

    def finish(self, metrics: dict[str, Any], folders: list[Path], figures: dict[str, Any]) -> None:
        """Logs final metrics (numbers; nested ones by dotted names), folders of files, and matplotlib figures by file name."""
        self._try(lambda: self._log(flatten(metrics), 0))
        for folder in folders:
            self._try(lambda f=folder: self.client.log_artifacts(self.run_id, str(f), f.as_posix()))  # type: ignore[misc]
        for name, figure in figures.items():
            self._try(lambda n=name, f=figure: self.client.log_figure(self.run_id, f, n))  # type: ignore[misc]

    def _log(self, values: dict[str, Any], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        numbers = {
            key: value
            for key, value in values.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        self.client.log_batch(
            self.run_id, metrics=[Metric(key, float(value), now, step) for key, value in numbers.items()]
        )

    def _try(self, action: Callable[[], Any]) -> None:
        if self.client is None:
            return
        try:
            action()
        except Exception as error:  # whatever a tracking server does wrong, the stage's outputs are what counts
            self.client = None
            reason = " ".join(str(error).split())[:200]
            print(
                f"note: MLflow tracking stopped ({type(error).__name__}: {reason}); the stage goes on", file=sys.stderr
            )


@contextmanager
def stage_run(stage: str, *, enabled: bool, params: dict[str, Section], tags: dict[str, str]) -> Iterator[Tracker]:
    """One MLflow run for one run of a stage: params, tags, system figures, status. Without `enabled`, mlflow is not imported.

    Args:
        params: sections of params.yaml by name, logged as `section.key`.
        tags: what ties the run to its data and code, beside the tags added here.
    """
    tracker = Tracker()
    if not enabled:
        yield tracker
        return
    tracker.client = True  # so that the first error is caught and said like any later one
    tracker._try(lambda: _start(tracker, stage, params, tags))
    status = "FAILED"
    try:
        yield tracker
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        if tracker.monitor is not None:
            tracker.monitor.finish()
        tracker._try(lambda: tracker.client.set_terminated(tracker.run_id, status))


def log_test_metrics(models: dict[str, str], metrics: dict[str, dict[str, Any]], *, enabled: bool) -> None:
    """Adds `test_...` metrics to the training runs that made the checkpoints, so that the comparison table shows them.

    Args:
        models: approach -> sha256 of its `model.safetensors`, which the training run carries as a tag.
        metrics: approach -> metrics of `evaluate`.
    """
    tracker = Tracker()
    if not enabled:
        return
    tracker.client = True

    def log() -> None:
        tracker.client, experiment = _open()
        for approach, digest in models.items():
            wanted = f"tags.model_sha256 = '{digest}'"
            for run in tracker.client.search_runs([experiment], wanted):
                tracker.run_id = run.info.run_id
                tracker._log({f"test_{key}": value for key, value in flatten(metrics[approach]).items()}, 0)

    tracker._try(log)


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def root() -> Path:
    """The project's root: DVC names it for a stage; by hand it is the working folder."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def _start(tracker: Tracker, stage: str, params: dict[str, Section], tags: dict[str, str]) -> None:
    client, experiment = _open()
    run = client.create_run(
        experiment,
        run_name=f"{stage} {os.environ.get('DVC_EXP_NAME', '')}".strip(),
        tags={"dvc.stage": stage, **_provenance(), **tags},
    )
    tracker.run_id = run.info.run_id
    tracker.client = client
    from mlflow.entities import Param

    flat = flatten({name: section.model_dump() for name, section in params.items()})
    client.log_batch(tracker.run_id, params=[Param(key, str(value)) for key, value in flat.items()])
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    tracker.monitor = SystemMetricsMonitor(tracker.run_id)
    tracker.monitor.start()


def _open() -> tuple[Any, str]:
    """A client and the experiment's id, one process at a time: opening a fresh SQLite store migrates it, and two at once fail."""
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    import logging

    logging.getLogger("alembic").setLevel(logging.WARNING)
    import mlflow
    from filelock import FileLock

    named = os.environ.get("MLFLOW_TRACKING_URI")
    uri = named or f"sqlite:///{root() / 'mlflow.db'}"
    lock = root() / ".fakeface"
    lock.mkdir(exist_ok=True)
    with FileLock(lock / "mlflow.lock", timeout=120):
        mlflow.set_tracking_uri(uri)
        client = mlflow.MlflowClient(uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return client, str(experiment.experiment_id)
        location = None if named else (root() / "mlruns").as_uri()
        return client, str(client.create_experiment(EXPERIMENT, artifact_location=location))


def _provenance() -> dict[str, str]:
    """Commit and state of the tree, and the DVC experiment if this is one."""
    tags = {"mlflow.source.name": " ".join(sys.argv[:1]), "mlflow.user": os.environ.get("USER", "")}
    if os.environ.get("DVC_EXP_NAME"):
        tags |= {
            "dvc.exp_name": os.environ["DVC_EXP_NAME"],
            "dvc.baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        }
    commit = _git("rev-parse", "HEAD")
    if commit:
        dirty = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!dvc.lock", ":!reports")
        tags |= {"mlflow.source.git.commit": commit, "git.dirty": str(bool(dirty)).lower()}
    return tags


def _git(*arguments: str) -> str:
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=20)
        return result.stdout.strip() if result.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        return ""
