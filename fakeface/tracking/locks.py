"""What DVC knows of trainings that are done: the stages in dvc.lock of the working tree, of past commits and of experiments."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakeface.core.errors import UserError
from fakeface.core.params import APPROACHES
from fakeface.tracking.store import git

if TYPE_CHECKING:
    import pandas as pd

Entry = dict[str, Any]  # a stage in dvc.lock: cmd, deps, params, outs


@dataclass(frozen=True)
class State:
    """One dvc.lock.

    Attributes:
        rev: commit whose lock it is; an empty string for the working tree.
        name: of the DVC experiment; an empty string for a commit or the working tree.
        stages: by name.
    """

    rev: str
    name: str
    stages: dict[str, Entry]

    def trainings(self) -> dict[str, str]:
        """approach -> stage key, of the trainings that are in this lock."""
        return {a: stage_key(self.stages[f"train_{a}"]) for a in APPROACHES if f"train_{a}" in self.stages}


@dataclass
class Training:
    """Everything of one training that a run shows; read back from DVC's outputs.

    `params`: by dotted name. `folder`: holds `models/<approach>` and `reports/train/<approach>`.
    """

    approach: str
    params: dict[str, Any]
    card: dict[str, Any]
    history: "pd.DataFrame"
    metrics: dict[str, Any]
    folder: Path
    test: dict[str, Any] = field(default_factory=dict)


class NotThere(Exception):
    """An output of a lock is neither in the working tree nor in DVC's cache; the message says which."""


def stage_key(entry: Entry) -> str:
    """32 hex digits of what a stage rests on: the hashes of its dependencies and its parameters."""
    rests_on = {"deps": {dep["path"]: dep["md5"] for dep in entry.get("deps", [])}, "params": entry.get("params", {})}
    return hashlib.sha256(json.dumps(rests_on, sort_keys=True).encode()).hexdigest()[:32]


def workspace(root: Path = Path(".")) -> State:
    """The lock of the working tree at `root`. Raises UserError where there is none."""
    try:
        return State("", "", _stages((root / "dvc.lock").read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError("dvc.lock: no such file; run `dvc repro` first, in the project's root") from None


def past_commits() -> Iterator[State]:
    """Each commit on a branch or tag that changed dvc.lock, newest first."""
    for rev in git("log", "--branches", "--tags", "--format=%H", "--", "dvc.lock").split():
        if lock := git("show", f"{rev}:dvc.lock"):
            yield State(rev, "", _stages(lock))


def experiments() -> Iterator[State]:
    """Each experiment that DVC keeps in this repository."""
    for line in git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines():
        rev, ref = line.split(" ", 1)
        parts = ref.split("/")
        # refs/exps/<2 digits>/<38 digits>/<name>; others are DVC's own: exec, stash, queues
        if len(parts) == 5 and len(parts[2]) == 2 and (lock := git("show", f"{rev}:dvc.lock")):
            yield State(rev, parts[4], _stages(lock))


def outputs(state: State) -> Any:
    """A file system with the outputs of a state: from the working tree, DVC's cache, or its remote."""
    from dvc.api import DVCFileSystem

    return DVCFileSystem(rev=state.rev or None)


def read_training(files: Any, state: State, approach: str, folder: Path) -> Training:
    """Fetches a training's outputs into `folder`.

    Raises:
        NotThere: an output cannot be had, or in the working tree is not the one of the lock.
    """
    import pandas as pd

    entry = state.stages[f"train_{approach}"]
    for name in (f"models/{approach}", f"reports/train/{approach}"):
        _fetch(files, name, folder / name)
    for out in entry["outs"]:
        path = folder / out["path"]
        if path.is_file() and hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != out["md5"]:
            raise NotThere(f"{out['path']} is not what dvc.lock says")
    card = json.loads((folder / "models" / approach / "card.json").read_text(encoding="utf-8"))
    lacking = {"sha256", "data_hash", "network", "precision"} - set(card)
    if lacking:
        raise NotThere(f"models/{approach}/card.json is of an older version, without {', '.join(sorted(lacking))}")
    return Training(
        approach,
        flat_params(state, approach),
        card,
        pd.read_csv(folder / "reports/train" / approach / "history.csv", float_precision="round_trip"),
        json.loads((folder / "reports/train" / approach / "metrics.json").read_text(encoding="utf-8")),
        folder,
        read_test(files, state, approach),
    )


def read_test(files: Any, state: State, approach: str) -> dict[str, Any]:
    """What `evaluate` found for this training's model; empty where it has not scored it."""
    evaluated = {dep["path"]: dep["md5"] for dep in state.stages.get("evaluate", {}).get("deps", [])}
    made = {out["path"]: out["md5"] for out in state.stages[f"train_{approach}"]["outs"]}
    model = f"models/{approach}"
    if evaluated.get(model) != made[model]:
        return {}
    try:
        return dict(json.loads(files.read_text("reports/evaluate/metrics.json"))[approach])
    except (OSError, KeyError, ValueError):
        return {}


def _fetch(files: Any, name: str, target: Path) -> None:
    try:
        files.get(name, str(target), recursive=True)
    except Exception as error:  # DVC and its remotes raise many kinds
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise NotThere(f"{name}: {reason}") from None


def flat_params(state: State, *approaches: str) -> dict[str, Any]:
    """The parameters of trainings and of the split that they rest on, by dotted name."""
    flat: dict[str, Any] = {}
    for name in ("split", *(f"train_{approach}" for approach in approaches)):
        for key, value in state.stages.get(name, {}).get("params", {}).get("params.yaml", {}).items():
            flat |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return flat


def _stages(text: str) -> dict[str, Entry]:
    from ruamel.yaml import YAML

    return dict((YAML(typ="safe", pure=True).load(text) or {}).get("stages", {}))
