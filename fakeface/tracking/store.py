"""Where runs are kept: a SQLite file at the project's root (`mlflow.db`, artifacts in `mlruns/`), where a plain `mlflow ui`
finds it; `MLFLOW_TRACKING_URI` names another one. Stages started by DVC find the root in `DVC_ROOT`, also in a temporary
experiment's folder.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from fakeface.core.errors import UserError
from fakeface.core.files import root

EXPERIMENT = "fakeface"
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # the page then opens with model metrics, not chat traces
    "mlflow.note.content": "Real or computer-made faces: three ways of training, a run each, under a run `pipeline`. "
    "kept_val_accuracy chooses, test_accuracy judges; the curves val_loss and val_accuracy have one step an epoch.",
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
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def set_environment() -> None:
    """What mlflow reads when it is imported; values that are set already stay."""
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)


def address() -> str:
    """The store's URI."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root() / 'mlflow.db'}"


def require_store(wanted: str) -> None:
    """For what only reads. Raises UserError where no server is named and there is no file: opening the store would make one.

    Args:
        wanted: what cannot be had then, for the message.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI") and not (root() / "mlflow.db").is_file():
        raise UserError(
            f"{wanted}: there is no mlflow.db here; run `fakeface publish` first, in the project's root, or set "
            "MLFLOW_TRACKING_URI"
        )


def over_network() -> bool:
    """Whether the store is a server's."""
    return os.environ.get("MLFLOW_TRACKING_URI", "").startswith("http")


def import_mlflow() -> None:
    """Imports it, and keeps its libraries from printing what is said in one line elsewhere."""
    import logging

    import mlflow  # noqa: F401

    for noisy in ("alembic", "mlflow", "sqlalchemy"):  # migrations, the monitor's comings and goings, tracebacks
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def open_store() -> tuple[Any, str]:
    """A client and the experiment's id, one process at a time: opening a fresh SQLite store migrates it, and two at once fail."""
    uri = address()  # read first: set_tracking_uri writes the variable
    import_mlflow()
    import mlflow
    from filelock import FileLock

    lock = root() / ".fakeface"
    lock.mkdir(exist_ok=True)
    with FileLock(lock / "mlflow.lock", timeout=120):
        _create_sqlite(uri)
        _check_sqlite(uri)
        mlflow.set_tracking_uri(uri)
        client = mlflow.MlflowClient(uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            if experiment.lifecycle_stage == "deleted":  # in the web page, where it can also be brought back
                client.restore_experiment(experiment.experiment_id)
                print(
                    f"note: the MLflow experiment {EXPERIMENT} was deleted; it is back, with its runs", file=sys.stderr
                )
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


def _check_sqlite(uri: str) -> None:
    """Says in seconds what MLflow tries again for minutes: a store that is locked or cannot be written."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.engine import make_url
    from sqlalchemy.pool import NullPool

    if make_url(uri).get_backend_name() == "sqlite":
        with create_engine(uri, poolclass=NullPool).connect() as connection:
            connection.execute(text("BEGIN IMMEDIATE"))
            connection.rollback()


def provenance() -> dict[str, str]:
    """Commit and state of the tree, and the DVC experiment if this is one."""
    tags = {"mlflow.source.name": Path(sys.argv[0]).name, "mlflow.user": os.environ.get("USER", "")}
    if os.environ.get("DVC_EXP_NAME"):
        tags |= {
            "dvc.exp_name": os.environ["DVC_EXP_NAME"],
            "dvc.baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV", ""),
        }
    commit = git("rev-parse", "HEAD")
    if commit:
        dirty = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!dvc.lock", ":!reports")
        tags |= {"mlflow.source.git.commit": commit, "git.dirty": str(bool(dirty)).lower()}
    return tags


def git(*arguments: str) -> str:
    try:
        result = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=20)
        return result.stdout.strip() if result.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        return ""
