"""Rebuilds MLflow's view from what DVC keeps: every training in a dvc.lock becomes one run, also where the stage came from
DVC's cache, from another machine, or logged to a store that is gone.

A run is found by its tag `stage_key`, the hash of what the training rests on. A run that was logged live gets the tag here, by
its checkpoint's sha256; where there is none, a run is made from history, metrics, parameters and card. One run stands above the
trainings of a lock, with their figures side by side.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fakeface.core.errors import UserError
from fakeface.core.params import APPROACHES
from fakeface.tracking import recipe, registry, runs
from fakeface.tracking.locks import NotThere, State, Training, flat_params, outputs, read_test, read_training
from fakeface.tracking.store import git, open_store, provenance, require_store, root, set_environment

PARENT = "mlflow.parentRunId"


@dataclass
class Published:
    """Trainings that were runs already, were logged live and are linked now, were made anew; and why some could not be."""

    there: int = 0
    linked: int = 0
    made: int = 0
    missing: list[str] = field(default_factory=list)
    registry: str = ""


def publish_states(states: Iterable[State], margin: float) -> Published:
    """Brings the MLflow store up to date with the locks; a second call changes nothing.

    Args:
        states: the working tree's first; its best detector becomes a version of the registered model.
        margin: as in `registry.register_best`.

    Raises:
        UserError: the store cannot be opened, or went away; what was published until then stays.
    """
    result = Published()
    with _store() as (client, experiment):
        for state in states:
            _publish_state(client, experiment, state, result)
        if not result.missing and all(Path("models", name).is_dir() for name in APPROACHES):
            result.registry = registry.register_best(client, experiment, margin)
    return result


def promote_version(version: str) -> None:
    """Makes a version of the registered model the champion. Raises UserError as `publish_states`, or without that version."""
    require_store(f"version {version}")
    with _store() as (client, _):
        registry.promote(client, version)


@contextmanager
def _store() -> Iterator[tuple[Any, str]]:
    """Client and experiment, for one process at a time; what MLflow raises becomes one line."""
    set_environment()
    from filelock import FileLock
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        client, experiment = open_store()
        with FileLock(root() / ".fakeface" / "publish.lock"):
            yield client, experiment
    except (MlflowException, SQLAlchemyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"MLflow: {reason}; set MLFLOW_TRACKING_URI to a server that answers, or move mlflow.db away, and publish again"
        ) from None


def _publish_state(client: Any, experiment: str, state: State, result: Published) -> None:
    found = {}
    with TemporaryDirectory() as folder:
        kept = _Kept(state, Path(folder))
        for approach, key in state.trainings().items():
            run = _training_run(client, experiment, kept, approach, key, result)
            if run:
                found[approach] = run
    if found:
        _gather(client, experiment, state, found)


@dataclass
class _Kept:
    """A state, and its outputs, which are opened when first needed: for a store that is complete DVC need not be asked."""

    state: State
    folder: Path

    @cached_property
    def files(self) -> Any:
        return outputs(self.state)

    def training(self, approach: str) -> Training:
        return read_training(self.files, self.state, approach, self.folder)


def _training_run(client: Any, experiment: str, kept: _Kept, approach: str, key: str, result: Published) -> str | None:
    """The id of the training's run, which is linked or made if need be; None where DVC has not the outputs."""
    run = _find(client, experiment, f"tags.stage_key = '{key}'")
    if run is not None:
        result.there += 1
        if "test_accuracy" not in run.data.metrics:  # scored since, or by a stage that could not log
            runs.log_test(client, run.info.run_id, read_test(kept.files, kept.state, approach))
        return str(run.info.run_id)
    try:
        training = kept.training(approach)
    except NotThere as error:
        result.missing.append(f"{_name(f'train_{approach}', kept.state)}: {error}")
        return None
    logged = f"tags.model_sha256 = '{training.card['sha256']}' and attributes.status = 'FINISHED'"
    live = _find(client, experiment, logged, without="stage_key")
    if live is None:
        result.made += 1
        return _make(client, experiment, kept.state, training, key)
    result.linked += 1
    client.set_tag(live.info.run_id, "stage_key", key)
    if "test_accuracy" not in live.data.metrics:
        runs.log_test(client, live.info.run_id, training.test)
    return str(live.info.run_id)


def _find(client: Any, experiment: str, condition: str, without: str = "") -> Any:
    """The oldest run that fulfils the condition and does not carry the tag `without`; None where there is none."""
    for run in client.search_runs([experiment], condition, order_by=["attributes.start_time ASC"]):
        if without not in run.data.tags:
            return run
    return None


def _make(client: Any, experiment: str, state: State, training: Training, key: str) -> str:
    stage, card = f"train_{training.approach}", training.card
    tags = {
        "dvc.stage": stage,
        "origin": "made by fakeface publish from what DVC keeps",
        **_origin(state, training.approach),
    }
    tags |= {name: card[name] for name in ("data_hash", "network", "precision")}
    run_id = client.create_run(experiment, run_name=_name(stage, state), tags=tags).info.run_id
    runs.log_data(client, run_id, card["data_hash"], stage)
    runs.log_params(client, run_id, training.params)
    for row in training.history.to_dict("records"):
        runs.log_epoch(client, run_id, {str(key): value for key, value in row.items()})
    runs.log_final(client, run_id, training.metrics, training.history.columns)
    for name in (f"models/{training.approach}", f"reports/train/{training.approach}"):
        client.log_artifacts(run_id, str(training.folder / name), name)
    runs.log_curves(client, run_id, runs.draw_curves({training.approach: training.history}))
    runs.log_test(client, run_id, training.test)
    client.set_tag(run_id, "model_sha256", card["sha256"])
    client.set_tag(run_id, "stage_key", key)  # last: a run that was broken off is not found, and made again
    client.set_terminated(run_id, "FINISHED")
    return str(run_id)


def _gather(client: Any, experiment: str, state: State, found: dict[str, str]) -> None:
    """One run for the pipeline as a whole, above its trainings; a training that several pipelines share stays with the first."""
    keys = "".join(f"{approach} {key}\n" for approach, key in sorted(state.trainings().items()))
    pipeline = hashlib.sha256(keys.encode()).hexdigest()[:32]
    above = _find(client, experiment, f"tags.pipeline_key = '{pipeline}'")
    if above is not None:
        parent = above.info.run_id
    else:
        tags = {"dvc.stage": "pipeline", "pipeline_key": pipeline, **_origin(state, *state.trainings())}
        parent = client.create_run(experiment, run_name=_name("pipeline", state), tags=tags).info.run_id
        client.set_terminated(parent, "FINISHED")
    shown = above.data.metrics if above is not None else {}
    for approach, run_id in found.items():
        child = client.get_run(run_id)
        if PARENT not in child.data.tags:
            client.set_tag(run_id, PARENT, parent)
        values = {
            f"{approach}.{name}": child.data.metrics[name]
            for name in ("kept_val_accuracy", "test_accuracy", "test_roc_auc", "test_average_precision")
            if name in child.data.metrics
        }
        new = {name: value for name, value in values.items() if name not in shown}
        if new:
            runs.log_numbers(client, parent, new)


def _name(stage: str, state: State) -> str:
    return f"{stage} {state.name or state.rev[:7]}".strip()


def _origin(state: State, *approaches: str) -> dict[str, str]:
    """Tags that say where a state comes from, and which recipe these trainings of it follow."""
    recipes = recipe.at(state.rev) if state.rev else recipe.here()
    tags = {"recipe": recipe.recipe(flat_params(state, *approaches), recipes)}
    if not state.rev:
        return tags | provenance()
    tags |= {"mlflow.source.git.commit": state.rev, "git.dirty": "false"}
    if state.name:
        tags |= {"dvc.exp_name": state.name, "dvc.baseline_rev": git("rev-parse", f"{state.rev}^")}
    return tags
