"""Where runs are kept: a SQLite file at the project's root (`mlflow.db`, artifacts in `mlruns/`), where a plain `mlflow ui`
finds it; `MLFLOW_TRACKING_URI` names another one. Stages started by DVC find the root in `DVC_ROOT`, also in a temporary
experiment's folder.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fakeface.core.errors import UserError, one_line
from fakeface.core.files import root
from fakeface.tracking.runs import HEADLINE

EXPERIMENT = "fakeface"
VIEW = "fakeface"  # name of the view that the page opens with, see `page`
SHOWN = [
    "val/kept_accuracy",
    f"test/{HEADLINE}",
    "test/roc_auc",
    "robustness/mean",
    "robustness/worst",
]  # a run's page has all
COLUMNS = [f"metrics.`{name}`" for name in (*SHOWN, "cost/minutes")] + ["tags.`network`"]
STATE = {"selectedColumns": COLUMNS, "columnOrder": COLUMNS, "columnWidths": dict.fromkeys(COLUMNS, 145)}  # pixels
EXPERIMENT_TAGS = {
    "mlflow.note.content": "Real or computer-made faces: one run per training. val/kept_accuracy chooses the approach, "
    f"test/{HEADLINE} judges it; val/accuracy and val/loss are curves with one step per epoch. See docs/track.md.",
    # What MLflow's page itself writes for a saved view; with the same content at every call the tag is written once.
    f"mlflow.sharedViewState.{VIEW}": json.dumps(
        {"name": "trainings", "createdAt": 0, "updatedAt": 0, "state": json.dumps(STATE)}
    ),
}
# Set before mlflow is imported: no telemetry, and a server that is away costs seconds, not minutes.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
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


def page(experiment: str) -> str:
    """The address of the table of runs, with the columns of `STATE`; of a SQLite store as `make ui` shows it."""
    server = address().rstrip("/") if over_network() else "http://127.0.0.1:5000"
    return f"{server}/#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"


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
    """Imports it, and keeps its libraries from printing what is reported in one line elsewhere."""
    import logging

    set_environment()
    import mlflow  # noqa: F401

    for noisy in ("alembic", "mlflow", "sqlalchemy"):  # migrations, tracebacks
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


@contextmanager
def opened() -> Iterator[tuple[Any, str]]:
    """`open_store` for a command: what MLflow raises, also in the block, becomes one line."""
    import_mlflow()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield open_store()
    except (MlflowException, SQLAlchemyError) as error:
        remedy = "set MLFLOW_TRACKING_URI to a reachable server, or move mlflow.db away, then publish again"
        raise UserError(f"MLflow: {one_line(error)}; {remedy}") from None


def open_store() -> tuple[Any, str]:
    """A client and the experiment's id, one process at a time: opening a fresh SQLite store migrates it, and two at once fail."""
    uri = address()  # read first: set_tracking_uri writes the variable
    import_mlflow()
    import mlflow
    from filelock import FileLock
    from mlflow.exceptions import MlflowException

    lock = root() / ".fakeface"
    lock.mkdir(exist_ok=True)
    with FileLock(lock / "mlflow.lock", timeout=120):
        _create_sqlite(uri)
        _check_sqlite(uri)
        mlflow.set_tracking_uri(uri)
        client = mlflow.MlflowClient(uri)
        experiment: Any = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            # A server knows where its artifacts go; with a SQLite file they go to the root, not to the working folder,
            # which a temporary experiment deletes.
            location = (root() / "mlruns").as_uri() if uri.startswith("sqlite:") else None
            with suppress(MlflowException):  # somebody else has just made it on the server
                client.create_experiment(EXPERIMENT, artifact_location=location)
            experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment.lifecycle_stage == "deleted":  # in the web page, where it can also be brought back
            client.restore_experiment(experiment.experiment_id)
            print(
                f"note: the MLflow experiment {EXPERIMENT} had been deleted; it was restored with its runs",
                file=sys.stderr,
            )
        for key, value in EXPERIMENT_TAGS.items():
            if experiment.tags.get(key) != value:
                insist(client.set_experiment_tag, experiment.experiment_id, key, value)
        if uri == f"sqlite:///{root() / 'mlflow.db'}":
            _bring_home(uri, experiment.artifact_location)
        return client, str(experiment.experiment_id)


def insist(setter: Callable[..., Any], *args: Any) -> None:
    """Calls a setter of a tag or an alias, and once more where the store refuses it: MLflow inserts the row that it did not find
    a moment ago, and fails where another process has inserted it since. The second call finds that row and updates it."""
    from mlflow.exceptions import MlflowException

    try:
        setter(*args)
    except MlflowException as error:
        if error.error_code != "BAD_REQUEST":  # what a database's IntegrityError becomes
            raise
        setter(*args)


def _create_sqlite(uri: str) -> None:
    """Makes a fresh SQLite store whole or not at all: a kill amid MLflow's migrations leaves one that nothing can open."""
    from mlflow import MlflowClient
    from sqlalchemy.engine import make_url

    url = make_url(uri)
    path = Path(url.database or "")
    if url.get_backend_name() != "sqlite" or not path.name or (path.exists() and path.stat().st_size):
        return
    partial = path.with_name(path.name + ".partial")  # a folder, for SQLite keeps its journal next to the file
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


def _bring_home(uri: str, old: str) -> None:
    """Makes the root's own store point into the root's `mlruns/`: MLflow keeps absolute paths, and the store of a project that
    was moved or copied would continue to write where the original is, or was. MLflow's client cannot change them."""
    new = (root() / "mlruns").as_uri()
    if old == new:
        return
    from sqlalchemy import column, create_engine, func, literal, table, update
    from sqlalchemy.pool import NullPool

    places = [("experiments", "artifact_location"), ("runs", "artifact_uri")]
    places += [("model_versions", "source"), ("model_versions", "storage_location")]
    with create_engine(uri, poolclass=NullPool).begin() as connection:
        for name, key in places:
            uris: Any = column(key)
            moved = {key: literal(new).concat(func.substr(uris, len(old) + 1))}
            inside = func.substr(uris, 1, len(old)) == old
            connection.execute(update(table(name, uris)).where(inside).values(moved))
    print(
        f"note: the project was moved or copied; its MLflow store now keeps its files in {root()}/mlruns",
        file=sys.stderr,
    )


def provenance() -> dict[str, str]:
    """Commit and state of the tree, and the DVC experiment if this is one."""
    name, commit = os.environ.get("DVC_EXP_NAME"), git("rev-parse", "HEAD")
    tags = {"dvc.exp_name": name} if name else {}
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


if __name__ == "__main__":  # for `make ui`
    with opened() as (_, number):
        print(f"The runs: {page(number)}")
