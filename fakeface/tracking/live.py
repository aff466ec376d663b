"""Logging while a stage runs. MLflow is a view of what DVC owns: no stage fails because of it, and none waits long for it.

mlflow is imported and called by one thread beside the training, in the order of the calls; the stage waits at its end alone.
A server that does not answer may take its time until then (MLflow's own limits: `store.ENVIRONMENT`), and SERVER seconds after.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from fakeface.core.files import root, write_text
from fakeface.core.params import Params, Section
from fakeface.tracking import recipe, runs
from fakeface.tracking.store import import_mlflow, open_store, over_network, provenance, set_environment

if TYPE_CHECKING:
    import pandas as pd

# Seconds that one call may still take when the stage has nothing more to do.
SERVER = 6.0  # a request; files get another second for each UPLOAD bytes
LOCAL = 120.0  # an import, a fresh SQLite store, a picture: never endless, but slow on a busy machine
UPLOAD = 1_000_000
# Seconds after the start in which a store that cannot be opened is tried again, while the training goes on.
PATIENCE = 60.0


class Tracker:
    """Logs to one run, in a thread of its own; after the first error it says so once and stays silent."""

    def __init__(self, enabled: bool) -> None:
        self.silent = not enabled
        self.client: Any = None
        self.run_id = ""
        self.monitor: Any = None
        self.curves: set[str] = set()
        self.logged: set[int] = set()  # epochs that a run which is gone on with has already
        self.closing = threading.Event()
        self.closed = threading.Event()
        self.due = 0.0  # when the call that runs should be over, by time.monotonic()
        self.actions: SimpleQueue[tuple[Callable[[], Any], float] | str] = SimpleQueue()
        if enabled:
            set_environment()  # not in the thread: the environment is not safe to change beside other threads
            # a daemon: Python does not wait at its end for a server that never answers
            threading.Thread(target=self._work, name="mlflow", daemon=True).start()
            self.attempt(import_mlflow, LOCAL)
        else:
            self.closed.set()

    def epoch(self, row: dict[str, float]) -> None:
        """Logs one row of the history, step = epoch."""
        self.curves |= set(row)
        epoch, now = int(row["epoch"]), time.time()
        self.attempt(lambda: None if epoch in self.logged else runs.log_epoch(self.client, self.run_id, row, now))

    def tag(self, key: str, value: str) -> None:
        """Adds a tag that is known only at the end, such as the checkpoint's hash."""
        self.attempt(lambda: self.client.set_tag(self.run_id, key, value))

    def finish(self, metrics: dict[str, Any], folders: list[Path], histories: dict[str, pd.DataFrame]) -> None:
        """Logs final metrics (numbers; nested ones by dotted names), folders of files, and a picture of the histories."""
        self.attempt(lambda: runs.log_final(self.client, self.run_id, metrics, self.curves))
        for folder in folders:
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            self.attempt(
                lambda f=folder: self.client.log_artifacts(self.run_id, str(f), f.as_posix()),  # type: ignore[misc]
                SERVER + size / UPLOAD,
            )
        if histories:
            drawn: list[Any] = []
            self.attempt(lambda: drawn.append(runs.draw_curves(histories)), LOCAL)
            self.attempt(lambda: runs.log_curves(self.client, self.run_id, drawn[0]))

    def attempt(self, action: Callable[[], Any], limit: float = SERVER) -> None:
        """Runs `action` when its turn has come, unless an earlier one failed; an error is said, not raised.

        Args:
            limit: seconds that it may take when the stage waits for nothing else; then it is left alone.
        """
        if not self.silent:
            self.actions.put((action, limit))

    def stop(self, reason: str) -> None:
        """Logs nothing more, and says so if nobody has yet."""
        if not self.silent:
            self.silent = True
            print(
                f"note: MLflow tracking stopped ({' '.join(reason.split())[:200]}); the stage goes on, "
                "and `fakeface publish` logs what is missing",
                file=sys.stderr,
            )

    def close(self, status: str) -> None:
        """Ends the run when all is logged, also after an error midway: a server that is back learns how it ended."""
        if self.closed.is_set():
            return
        self.closing.set()
        self.actions.put(status)
        try:
            self._wait()
        except (
            KeyboardInterrupt,
            SystemExit,
        ):  # another signal: the run still learns how it ended
            self._wait()
            raise

    def _wait(self) -> None:
        latest = time.monotonic() + SERVER
        while not self.closed.wait(0.02):
            if time.monotonic() > max(self.due, latest):
                self.stop(f"no answer for {SERVER:g} s at the end of the stage")
                return

    def _work(self) -> None:
        while not isinstance(item := self.actions.get(), str):
            action, limit = item
            self.due = time.monotonic() + limit
            try:
                if not self.silent:
                    action()
            except Exception as error:  # whatever a tracking server does wrong, the stage's outputs are what counts
                self.stop(f"{type(error).__name__}: {error}")
        self.due = time.monotonic() + SERVER
        self._end(item)
        self.closed.set()

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
    shown = {name: section.model_dump() for name, section in params.items()}
    carried: dict[str, str] = {"dvc.stage": stage}
    try:
        tracker.attempt(lambda: carried.update(_own_tags(shown), **tags), LOCAL)
        tracker.attempt(lambda: _start(tracker, shown, carried, run_file), _opening())
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
        tracker.client, experiment = _open(tracker)
        for approach, digest in models.items():
            for run in tracker.client.search_runs([experiment], f"tags.model_sha256 = '{digest}'"):
                runs.log_test(tracker.client, run.info.run_id, metrics[approach])

    tracker.attempt(log, _opening())
    tracker.close("")


def _opening() -> float:
    """Seconds that opening the store may take: a SQLite file may have to be made, perhaps by another process first."""
    return SERVER if over_network() else LOCAL


def _open(tracker: Tracker) -> tuple[Any, str]:
    """The store; one that is slow at start, or locked, is tried again as long as the stage has something else to do."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return open_store()
        except Exception:
            if tracker.closing.is_set() or time.monotonic() > until:
                raise
        tracker.closing.wait(1)


def _own_tags(shown: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {"recipe": recipe.recipe(runs.flatten(shown), recipe.here()), **provenance()}


def _start(tracker: Tracker, shown: dict[str, dict[str, Any]], tags: dict[str, str], run_file: Path | None) -> None:
    tracker.client, experiment = _open(tracker)
    training = _training(run_file)
    known = _known_run(tracker.client, experiment, training)
    if known:
        tracker.run_id = known
        tracker.client.update_run(known, status="RUNNING")
        tracker.logged = {m.step for m in tracker.client.get_metric_history(known, "val_loss")}
    else:
        name = f"{tags['dvc.stage']} {os.environ.get('DVC_EXP_NAME', '')}".strip()
        tags |= {"training": training} if training else {}
        tracker.run_id = tracker.client.create_run(experiment, run_name=name, tags=tags).info.run_id
        if "data_hash" in tags:
            runs.log_data(tracker.client, tracker.run_id, tags["data_hash"], tags["dvc.stage"])
    with (
        suppress(Exception) if known else nullcontext()
    ):  # what shapes no result may have changed, and MLflow keeps the first
        runs.log_params(tracker.client, tracker.run_id, shown)
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


class TrainingRun:
    """A training's run as `training.approach.Tracker` wants it."""

    def __init__(self, approach: str, params: Params, sections: tuple[str, ...], ends: ExitStack) -> None:
        self.approach, self.params, self.sections, self.ends = approach, params, sections, ends
        self.tracker: Tracker | None = None

    def start(self, key: str, facts: dict[str, Any]) -> None:
        shown = {name: getattr(self.params, name) for name in ("base", "split", *self.sections)}
        tags = {name: str(facts[name]) for name in ("data_hash", "network", "precision")}
        file = root() / ".fakeface" / "resume" / f"{self.approach}-{key}.run"
        opened = stage_run(
            f"train_{self.approach}", enabled=self.params.base.tracking, params=shown, tags=tags, run_file=file
        )
        self.tracker = self.ends.enter_context(opened)

    def epoch(self, row: dict[str, float]) -> None:
        if self.tracker:
            self.tracker.epoch(row)


@contextmanager
def training_run(approach: str, params: Params, sections: tuple[str, ...]) -> Iterator[TrainingRun]:
    with ExitStack() as ends:
        run = TrainingRun(approach, params, sections, ends)
        yield run
        if run.tracker:
            import pandas as pd

            card = json.loads(Path("models", approach, "card.json").read_text(encoding="utf-8"))
            history = pd.read_csv(f"reports/train/{approach}/history.csv")
            run.tracker.finish(
                card["metrics"], [Path("models", approach), Path("reports/train", approach)], {approach: history}
            )
            run.tracker.tag("model_sha256", card["sha256"])
