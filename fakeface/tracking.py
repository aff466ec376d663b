"""The only file that imports mlflow. MLflow is a view of what DVC owns: no stage fails because of it.

mlflow is imported and called by one thread beside the training, in the order of the calls; the stage waits at its end alone.

The store is SQLite at the project's root (`mlflow.db`, artifacts in `mlruns/`), where a plain `mlflow ui` finds it;
`MLFLOW_TRACKING_URI` names another one. Stages started by DVC find the root in `DVC_ROOT`, also in a temporary
experiment's folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakeface.files import write_text
from fakeface.params import Section

if TYPE_CHECKING:
    import pandas as pd

EXPERIMENT = "fakeface"
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # the page then opens with model metrics, not chat traces
    "mlflow.note.content": "Real or computer-made faces: three ways of training. Compare test_accuracy and the val_loss curves.",
}
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
    """Logs to one run, in a thread of its own; after the first error it says so once and stays silent."""

    def __init__(self, enabled: bool) -> None:
        self.silent = not enabled
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="mlflow")
        self.client: Any = None
        self.run_id = ""
        self.monitor: Any = None
        self.curves: set[str] = set()
        self.logged: set[int] = set()  # epochs that a run which is gone on with has already

    def epoch(self, row: dict[str, float]) -> None:
        """Logs one row of the history, step = epoch."""
        values = {key: value for key, value in row.items() if key != "epoch"}
        self.curves |= set(values)
        epoch, now = int(row["epoch"]), time.time()
        self.attempt(lambda: None if epoch in self.logged else self.log(values, epoch, now))

    def tag(self, key: str, value: str) -> None:
        """Adds a tag that is known only at the end, such as the checkpoint's hash."""
        self.attempt(lambda: self.client.set_tag(self.run_id, key, value))

    def finish(self, metrics: dict[str, Any], folders: list[Path], histories: dict[str, pd.DataFrame]) -> None:
        """Logs final metrics (numbers; nested ones by dotted names), folders of files, and a picture of the histories.

        A final metric that also has a curve is logged as `kept_...`: MLflow's table shows a curve's last epoch, which need
        not be the one kept.
        """
        final = {f"kept_{key}" if key in self.curves else key: value for key, value in flatten(metrics).items()}
        self.attempt(lambda: self.log(final, 0, time.time()))
        for folder in folders:
            self.attempt(lambda f=folder: self.client.log_artifacts(self.run_id, str(f), f.as_posix()))  # type: ignore[misc]
        if histories:
            self.attempt(lambda: self._curves(histories))

    def log(self, values: dict[str, Any], step: int, now: float) -> None:
        """Logs the numbers among `values`, as of `now` (seconds since 1970); raises what mlflow raises."""
        from mlflow.entities import Metric

        numbers = {
            key: value
            for key, value in values.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        self.client.log_batch(
            self.run_id, metrics=[Metric(key, float(value), int(now * 1000), step) for key, value in numbers.items()]
        )

    def attempt(self, action: Callable[[], Any]) -> None:
        """Runs `action` when its turn has come, unless an earlier one failed; an error is said, not raised."""
        if not self.silent:
            self.worker.submit(self._run, action)

    def _run(self, action: Callable[[], Any]) -> None:
        if self.silent:
            return
        try:
            action()
        except Exception as error:  # whatever a tracking server does wrong, the stage's outputs are what counts
            self.silent = True
            reason = " ".join(str(error).split())[:200]
            print(
                f"note: MLflow tracking stopped ({type(error).__name__}: {reason}); the stage goes on", file=sys.stderr
            )

    def close(self, status: str) -> None:
        """Ends the run when all is logged, also after an error midway: a server that is back learns how it ended."""
        # waiting for the thread itself would lose it when another signal interrupts the wait (CPython 3.11)
        self.worker.submit(self._end, status).result()
        self.worker.shutdown()

    def _end(self, status: str) -> None:
        if self.monitor is not None:
            with suppress(Exception):  # one sample at least: a short stage is over before the monitor's first
                self.monitor.collect_metrics()
                self.monitor.publish_metrics(self.monitor.aggregate_metrics())
            with suppress(Exception):
                self.monitor.finish()
        if self.run_id:
            with suppress(Exception):
                self.client.set_terminated(self.run_id, status)

    def _curves(self, histories: dict[str, pd.DataFrame]) -> None:
        from fakeface.evaluation.figures import curves

        self.client.log_figure(self.run_id, curves(histories), "curves.png")


@contextmanager
def stage_run(
    stage: str, *, enabled: bool, params: dict[str, Section], tags: dict[str, str], run_file: Path | None = None
) -> Iterator[Tracker]:
    """One MLflow run for one run of a stage: params, tags, system figures, status. Without `enabled`, mlflow is not imported.

    Args:
        params: sections of params.yaml by name, logged as `section.key`.
        tags: what ties the run to its data and code, beside the tags added here.
        run_file: holds a name that the run carries as its tag `training`; if it is there already, that run is gone on with,
            so that a stage that was killed and started again is one run. Whoever knows that the stage is done removes it.
    """
    tracker = Tracker(enabled)
    status = "FAILED"
    if enabled:  # here and not in the thread: the environment is not safe to change beside other threads
        for key, value in ENVIRONMENT.items():
            os.environ.setdefault(key, value)
    try:
        tracker.attempt(lambda: _start(tracker, stage, params, tags, run_file))
        yield tracker
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        tracker.silent = True  # what is still waiting to be logged is logged by the run that goes on
        raise
    finally:
        tracker.close(status)


def log_test_metrics(models: dict[str, str], metrics: dict[str, dict[str, Any]], *, enabled: bool) -> None:
    """Adds `test_...` metrics to the training runs that made the checkpoints, so that the comparison table shows them.

    Args:
        models: approach -> sha256 of its `model.safetensors`, which the training run carries as a tag.
        metrics: approach -> metrics of `evaluate`.
    """
    tracker = Tracker(enabled)

    def log() -> None:
        tracker.client, experiment = _open()
        for approach, digest in models.items():
            values = {f"test_{key}": value for key, value in flatten(metrics[approach]).items()}
            for run in tracker.client.search_runs([experiment], f"tags.model_sha256 = '{digest}'"):
                tracker.run_id = run.info.run_id
                tracker.log(values, 0, time.time())

    tracker.attempt(log)
    tracker.worker.shutdown()


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def root() -> Path:
    """The project's root: DVC names it for a stage; by hand it is the working folder."""
    return Path(os.environ.get("DVC_ROOT") or ".").resolve()


def _start(
    tracker: Tracker, stage: str, params: dict[str, Section], tags: dict[str, str], run_file: Path | None
) -> None:
    tracker.client, experiment = _open()
    from mlflow.entities import Param

    training = _training(run_file)
    known = _known_run(tracker.client, experiment, training)
    if known:
        tracker.run_id = known
        tracker.client.update_run(known, status="RUNNING")
        tracker.logged = {m.step for m in tracker.client.get_metric_history(known, "val_loss")}
    else:
        name = f"{stage} {os.environ.get('DVC_EXP_NAME', '')}".strip()
        tags = {"dvc.stage": stage, **_provenance(), **tags} | ({"training": training} if training else {})
        tracker.run_id = tracker.client.create_run(experiment, run_name=name, tags=tags).info.run_id
    flat = flatten({name: section.model_dump() for name, section in params.items()})
    with (
        suppress(Exception) if known else nullcontext()
    ):  # what shapes no result may have changed, and MLflow keeps the first
        tracker.client.log_batch(tracker.run_id, params=[Param(key, str(value)) for key, value in flat.items()])
    with suppress(Exception):  # system figures are an extra: where psutil cannot read them, the run does without
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        tracker.monitor = SystemMetricsMonitor(tracker.run_id, resume_logging=bool(known))
        tracker.monitor.start()


def _training(run_file: Path | None) -> str:
    """The name in `run_file`, or a new one, on disk before the run is: whenever the stage is killed, its run is found again."""
    if run_file is None:
        return ""
    if not run_file.exists():
        write_text(run_file, uuid.uuid4().hex)
    return run_file.read_text().strip()


def _known_run(client: Any, experiment: str, training: str) -> str:
    """The id of the run that carries the name; an empty string if the store, which may be another one by now, has none."""
    if not training:
        return ""
    runs = client.search_runs([experiment], f"tags.training = '{training}'")
    return str(runs[0].info.run_id) if runs else ""


def _open() -> tuple[Any, str]:
    """A client and the experiment's id, one process at a time: opening a fresh SQLite store migrates it, and two at once fail."""
    named = os.environ.get("MLFLOW_TRACKING_URI")  # read first: set_tracking_uri writes it
    import logging

    import mlflow
    from filelock import FileLock

    for noisy in ("alembic", "mlflow"):  # migrations and the monitor's comings and goings
        logging.getLogger(noisy).setLevel(logging.ERROR)
    logging.getLogger("sqlalchemy").setLevel(logging.CRITICAL)  # a store that cannot be written is said by `attempt`
    uri = named or f"sqlite:///{root() / 'mlflow.db'}"
    lock = root() / ".fakeface"
    lock.mkdir(exist_ok=True)
    with FileLock(lock / "mlflow.lock", timeout=120):
        _create_sqlite(uri)
        mlflow.set_tracking_uri(uri)
        client = mlflow.MlflowClient(uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            if experiment.lifecycle_stage == "deleted":  # in the web page, where it can also be brought back
                client.restore_experiment(experiment.experiment_id)
            return client, str(experiment.experiment_id)
        # A server knows where its artifacts go; beside a SQLite file they go to the root, not to the working folder,
        # which a temporary experiment deletes.
        location = (root() / "mlruns").as_uri() if uri.startswith("sqlite:") else None
        return client, str(client.create_experiment(EXPERIMENT, artifact_location=location, tags=EXPERIMENT_TAGS))


def _create_sqlite(uri: str) -> None:
    """Makes a fresh SQLite store whole or not at all: a kill amid MLflow's migrations leaves one that nothing can open."""
    from mlflow import MlflowClient
    from sqlalchemy.engine import make_url

    url = make_url(uri)
    path = Path(url.database or "")
    if url.get_backend_name() != "sqlite" or not path.name or (path.exists() and path.stat().st_size):
        return
    partial = path.with_name(path.name + ".partial")  # a folder, for SQLite keeps its journal beside the file
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    MlflowClient(f"sqlite:///{partial / path.name}")
    (partial / path.name).replace(path)
    shutil.rmtree(partial)


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
