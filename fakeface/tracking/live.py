"""Logging while a stage runs. MLflow is a view of what DVC owns: no stage fails because of it, and none waits long for it.

mlflow is imported and called by a second thread, in the order of the calls; the stage waits only at its end. `fakeface publish`
logs what could not be logged until then.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from fakeface.core.files import read_json
from fakeface.core.params import APPROACHES, Params
from fakeface.tracking import runs
from fakeface.tracking.store import import_mlflow, open_store, over_network, provenance, set_environment

SERVER = 6.0  # seconds that the stage waits at its end for a store that is open, or for a server
LOCAL = 120.0  # and for the import and a SQLite file that is being made: never endless, but slow on a busy machine
PATIENCE = 60.0  # seconds in which a store that cannot be opened is tried again, while the stage continues
Action = Callable[[Any, str], Any]  # gets the client and the experiment


class Worker:
    """One thread that does what it is given, in order; the first error is reported once, and ends it."""

    def __init__(self) -> None:
        self.actions: SimpleQueue[Action | None] = SimpleQueue()
        self.last: Action | None = None
        self.said = False
        # `ready`: what is this machine's own work at the start, see LOCAL, is over
        self.ready, self.closing, self.done = threading.Event(), threading.Event(), threading.Event()
        set_environment()  # not in the thread: the environment is not safe to change while other threads run
        # a daemon: Python does not wait at its end for a server that never answers
        threading.Thread(target=self._work, name="mlflow", daemon=True).start()

    def close(self, last: Action) -> None:
        """Waits until all is done, with `last` at the end; that is tried also after an error, for a server may be back."""
        self.last = last
        self.closing.set()
        self.actions.put(None)
        try:
            self._wait()
        except (KeyboardInterrupt, SystemExit):  # another signal: the run still learns how it ended
            self._wait()
            raise

    def _wait(self) -> None:
        self.ready.wait(LOCAL)
        if not self.done.wait(SERVER):
            self._say(f"no answer for {SERVER:g} s at the end of the stage")

    def _work(self) -> None:
        with self._saying():
            import_mlflow()
            if over_network():
                self.ready.set()
            store = self._open()
            self.ready.set()
            with self._saying():
                while (action := self.actions.get()) is not None:
                    action(*store)
            self.closing.wait()
            if self.last is not None:
                self.last(*store)
        self.ready.set()
        self.done.set()

    @contextmanager
    def _saying(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever a tracking server does wrong, the stage's outputs are what counts
            self._say(f"{type(error).__name__}: {error}")

    def _open(self) -> tuple[Any, str]:
        """The store; one that is slow at start, or locked, is tried again as long as the stage has something else to do."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return open_store()
            except Exception:
                if self.closing.is_set() or time.monotonic() > until:
                    raise
            self.closing.wait(1)

    def _say(self, reason: str) -> None:
        if not self.said:
            self.said = True
            print(
                f"note: MLflow tracking stopped ({' '.join(reason.split())[:200]}); the stage continues, "
                "and `fakeface publish` logs what is missing",
                file=sys.stderr,
            )


class TrainingRun:
    """One MLflow run for a training, as `training.approach.Tracker` wants it: its curves grow while it trains.

    Without `base.tracking` mlflow is not imported.

    Args:
        sections: of params.yaml that it shows, in addition to `base` and `split`.
    """

    def __init__(self, approach: str, params: Params, sections: tuple[str, ...]) -> None:
        self.approach, self.enabled = approach, params.base.tracking
        shown = {name: getattr(params, name).model_dump(exclude={"tracking"}) for name in ("base", "split", *sections)}
        self.params = runs.flatten(shown)
        self.worker: Worker | None = None
        self.run_id = ""
        self.known: set[int] = set()  # epochs that the run has from before an interruption

    def start(self, key: str, facts: dict[str, Any]) -> None:
        """Begins the run, or continues the one that has this key: a training is one run, however often it is killed."""
        if not self.enabled:
            return
        self.worker = Worker()
        tags = {"dvc.stage": f"train_{self.approach}", "training": key}
        self.worker.actions.put(lambda client, experiment: self._start(client, experiment, tags, facts))

    def epoch(self, row: dict[str, float]) -> None:
        """Logs one row of the history; one that the run has already, from before an interruption, is left out."""
        now = int(time.time() * 1000)

        def log(client: Any, _: str) -> None:
            if row["epoch"] not in self.known:
                runs.log_epochs(client, self.run_id, [row], now)

        if self.worker:
            self.worker.actions.put(log)

    def __enter__(self) -> "TrainingRun":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Completes the run from the stage's outputs, or says how it ended."""
        stopped = kind is not None and issubclass(kind, (KeyboardInterrupt, SystemExit))
        status = "KILLED" if stopped else "FAILED" if kind else "FINISHED"
        if self.worker is None or (status == "KILLED" and not self.run_id):
            return
        whole = status == "FINISHED"

        def end(client: Any, _: str) -> None:
            client.set_terminated(self.run_id, "FAILED" if whole else status)  # broken off it is not RUNNING for ever
            if whole:
                runs.write(client, self.run_id, self._training())

        self.worker.close(end)

    def _start(self, client: Any, experiment: str, tags: dict[str, str], facts: dict[str, Any]) -> None:
        found = client.search_runs(
            [experiment], f"tags.training = '{tags['training']}'", order_by=["attributes.start_time ASC"]
        )
        if not found:
            tags |= provenance()
            name = f"{self.approach} {tags.get('dvc.exp_name', '')}".strip()
            found = [client.create_run(experiment, run_name=name, tags=tags)]
        elif found[0].info.status != "FINISHED":
            client.update_run(found[0].info.run_id, status="RUNNING")
        self.run_id = found[0].info.run_id
        self.known = runs.write(client, self.run_id, runs.Training(self.params, card=facts))

    def _training(self) -> runs.Training:
        """All that the stage's outputs say."""
        report = Path("reports/train", self.approach)
        paths = [report / "history.csv", report / "metrics.json", Path("models", self.approach, "card.json")]
        files = {path.name: path.read_text(encoding="utf-8") for path in paths}
        cost = Path(f"reports/cost/{self.approach}.json").read_text(encoding="utf-8")
        card = json.loads(files["card.json"])
        return runs.Training(self.params, files, card, runs.cost(cost, card))


@contextmanager
def scoring(stage: str, params: Params) -> Iterator[None]:
    """Brings what a stage of `runs.FOUND` finds to the runs of the models that it scored."""
    nothing = stage == "variants" and not params.evaluate.leave_out
    worker = Worker() if params.base.tracking and not nothing else None
    yield  # a stage that fails found nothing
    if worker:
        worker.close(lambda client, experiment: _log_scores(client, experiment, stage))


def _log_scores(client: Any, experiment: str, stage: str) -> None:
    metrics = read_json(Path(runs.FOUND[stage]))
    for approach in APPROACHES:  # the file also has figures of sub-folders
        model = metrics[approach]["model_sha256"]
        for run in client.search_runs([experiment], f"tags.model_sha256 = '{model}'"):
            if runs.log_figures(client, run, runs.figures(stage, approach, metrics)):
                runs.log_pictures(client, run.info.run_id, approach, Path("reports", stage, "figures"), APPROACHES)
