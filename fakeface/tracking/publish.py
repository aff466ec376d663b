"""Rebuilds MLflow's view from what DVC keeps: every training in a dvc.lock becomes one run, also where the stage came from
DVC's cache, from another machine, or logged to a store that was deleted.

A run is found by its tag `training_key`, the hash of what the training depends on and made. A run that was logged live gets the
tag here, by its model and parameters. Nothing is locked, since a server knows no clone's locks: after making a run or a
version, each process looks again, and of two the older one stays.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from fakeface.core.params import APPROACHES
from fakeface.tracking import registry, runs
from fakeface.tracking.locks import NotThere, State, experiments, past_commits
from fakeface.tracking.store import insist, opened, page, provenance


@dataclass
class Published:
    """Trainings that were runs already, were logged live and are linked now, were made or completed now; what is missing."""

    there: int = 0
    linked: int = 0
    made: int = 0
    missing: list[str] = field(default_factory=list)
    without_model: dict[str, str] = field(default_factory=dict)  # run -> why
    registry: str = ""
    page: str = ""


def publish_states(states: Iterable[State], margin: float) -> Published:
    """Brings the MLflow store up to date with the locks; a second call changes nothing.

    Args:
        states: the working tree's first; its best detector becomes a version of the registered model.
        margin: as in `registry.register_best`.

    Raises:
        UserError: the store cannot be opened, or went away; what was published until then stays.
    """
    result = Published()
    found: dict[str, tuple[State, str]] = {}
    with opened() as (client, experiment):
        result.page = page(experiment)
        for state in states:
            for approach, key in state.trainings().items():
                found.setdefault(key, (state, approach))
        tree = next((state for state, _ in found.values() if not (state.rev or state.name)), None)
        for key, (state, approach) in tqdm(found.items(), "publish", unit="run", leave=False, disable=None):
            _publish(client, experiment, state, approach, key, result)
        if tree is not None:
            result.registry = _register(client, experiment, tree, margin)
    return result


def _publish(client: Any, experiment: str, state: State, approach: str, key: str, result: Published) -> None:
    """Finds, links, completes or makes the run of one training."""
    name = f"{approach} {state.name or state.rev[:7]}".strip()
    run: Any = _find(client, experiment, key)
    whole = run is not None and run.info.status == "FINISHED" and client.list_artifacts(run.info.run_id)
    if whole and "model_sha256" in run.data.tags:
        result.there += 1
    else:
        try:
            training, lacking = state.training(approach)
        except NotThere as error:
            result.missing.append(f"{name}: {error}")
            return
        if lacking:
            result.without_model[name] = lacking
        live = None if run else _live(client, experiment, training)
        if live is not None:
            insist(client.set_tag, live.info.run_id, "training_key", key)
            result.linked += 1
            run = live
        elif whole and lacking:
            result.there += 1
        else:
            result.made += 1
            if run is None:
                tags = {"dvc.stage": f"train_{approach}", "training_key": key, **_origin(state)}
                run = client.create_run(experiment, run_name=name, tags=tags)
                # until it is whole; broken off it is not RUNNING for ever
                client.set_terminated(run.info.run_id, "FAILED")
        runs.write(client, run.info.run_id, training)
        run = _find(client, experiment, key)
    if not state.rev or "test/accuracy" not in run.data.metrics:  # scored since, or by a stage that could not log
        _refresh(client, run, state, approach)


def _find(client: Any, experiment: str, key: str) -> Any:
    """The oldest whole run with this key, else the oldest; None if there is none. Other whole ones, which somebody else made at
    the same moment, are deleted."""
    from mlflow.exceptions import MlflowException

    found = client.search_runs([experiment], f"tags.training_key = '{key}'")
    found = sorted(found, key=lambda run: (run.info.status != "FINISHED", run.info.start_time, run.info.run_id))
    for run in found[1:]:
        if run.info.status == "FINISHED":
            with suppress(MlflowException):  # deleted by the other one already
                client.delete_run(run.info.run_id)
    return found[0] if found else None


def _live(client: Any, experiment: str, training: runs.Training) -> Any:
    """The run that was logged while this model was trained with these parameters; None where there is none."""
    logged = f"tags.model_sha256 = '{training.card.get('sha256')}'"
    for run in client.search_runs([experiment], logged, order_by=["attributes.start_time ASC"]):
        same = all(run.data.params.get(name) == runs.shown(value) for name, value in training.params.items())
        if same and "training_key" not in run.data.tags:
            return run
    return None


def _refresh(client: Any, run: Any, state: State, approach: str) -> None:
    """Figures and pictures of the working tree that a run does not show yet."""
    for stage in runs.FOUND:
        figures = state.figures(stage, approach)
        runs.log_figures(client, run, figures)
        if figures and not client.list_artifacts(run.info.run_id, stage):
            try:
                runs.log_pictures(client, run.info.run_id, approach, state.folder(stage, "figures", None), APPROACHES)
            except NotThere:
                continue  # not in the working tree, or another's; the figures say what they show


def _register(client: Any, experiment: str, tree: State, margin: float) -> str:
    """Makes the working tree's best detector a version, after the champion is back that a new store has lost."""
    with TemporaryDirectory() as copies:
        lost = registry.lost_champion(client)
        said = _restore(client, experiment, tree, lost, Path(copies, "champion")) if lost else ""
        if lost and not said:
            return (
                f"nothing registered: the champion of {registry.KEPT} ({lost['approach']}) is neither in DVC's cache nor in "
                "its remote; fetch it with `dvc pull --all-commits`, or remove the file to start over"
            )
        try:
            models = {name: tree.folder(f"train_{name}", name, Path(copies)) for name in APPROACHES}
        except NotThere as error:
            return f"{said}nothing registered: {error}"
        hashes = {name: tree.out(f"train_{name}", name)[1] for name in APPROACHES}
        return said + registry.register_best(client, experiment, models, hashes, margin)


def _restore(client: Any, experiment: str, tree: State, lost: dict[str, str], copies: Path) -> str:
    """Registers a lost champion again, from the first lock that has its model; a line, empty if none has."""
    approach = lost["approach"]
    for state in chain([tree], past_commits(), experiments()):
        try:
            if state.out(f"train_{approach}", approach)[1] != lost["md5"]:
                continue
            model = state.folder(f"train_{approach}", approach, copies)
        except NotThere:
            continue
        _publish(client, experiment, state, approach, state.trainings()[approach], Published())
        version = registry.register(client, experiment, model, lost["md5"])
        if version is not None:
            registry.crown(client, version)
            return f"version {version.version} ({approach}) is the champion again, as {registry.KEPT} says; "
    return ""


def _origin(state: State) -> dict[str, str]:
    """Tags that say where a state comes from."""
    if not state.rev:
        return provenance()
    tags = {"mlflow.source.git.commit": state.rev, "git.dirty": "false"}
    return tags | ({"dvc.exp_name": state.name} if state.name else {})
