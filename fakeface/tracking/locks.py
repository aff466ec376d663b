"""What DVC knows of trainings that are done: the stages in dvc.lock of the working tree, of past commits and of experiments.

Nothing is believed that dvc.lock does not vouch for: a file or folder of the working tree counts only with the lock's hash, and
figures count only where they name this lock's model.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fakeface.core.errors import UserError, one_line
from fakeface.core.params import APPROACHES
from fakeface.tracking import runs
from fakeface.tracking.store import git

Entry = dict[str, Any]  # a stage in dvc.lock: cmd, deps, params, outs


class NotThere(Exception):
    """An output of a lock cannot be had, or what lies in its place is another one; the message says which."""


@dataclass(frozen=True)
class State:
    """One dvc.lock, and DVC's outputs of that moment.

    Attributes:
        rev: commit whose lock it is; an empty string for the working tree.
        name: of the DVC experiment; an empty string for a commit or the working tree.
        stages: by name.
    """

    rev: str
    name: str
    stages: dict[str, Entry]

    def trainings(self) -> dict[str, str]:
        """approach -> key, of the trainings that are in this lock."""
        return {a: training_key(self.stages[f"train_{a}"]) for a in APPROACHES if f"train_{a}" in self.stages}

    def out(self, stage: str, name: str) -> tuple[str, str]:
        """Path and hash of a stage's output by the last part of its path. Raises NotThere where it has none such."""
        for out in self.stages.get(stage, {}).get("outs", []):
            if Path(out["path"]).name == name:
                return out["path"], out["md5"]
        raise NotThere(f"{stage} has no output {name}")

    @cached_property
    def files(self) -> Any:
        """The state's files: from the working tree, DVC's cache, or its remote."""
        from dvc.api import DVCFileSystem

        return DVCFileSystem(rev=self.rev or None)

    def text(self, path: str, md5: str = "") -> str:
        """A file's text; with the lock's `md5` checked. Raises NotThere."""
        try:
            content = self.files.read_bytes(path)
        except Exception as error:  # DVC and its remotes raise many kinds
            raise NotThere(f"{path}: {one_line(error)}") from None
        if md5 and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            raise NotThere(f"{path} does not match dvc.lock")
        return str(content.decode())

    def folder(self, stage: str, name: str, copies: Path | None) -> Path:
        """A stage's folder, byte for byte the lock's: the working tree's own, else a copy that is made in `copies`.

        Raises:
            NotThere: the working tree has another one, or DVC cannot bring it.
        """
        path, md5 = self.out(stage, name)
        found = Path(path)
        if self.rev or not found.is_dir():
            if copies is None:
                raise NotThere(f"{path} is not in the working tree")
            found = copies / path
            try:
                self.files.get(path, str(found), recursive=True)
            except Exception as error:
                raise NotThere(f"{path}: {one_line(error)}") from None
        if self._md5(found) != md5:
            raise NotThere(f"{path} does not match dvc.lock; `dvc checkout` restores it")
        return found

    def figures(self, stage: str, approach: str) -> dict[str, float]:
        """What a stage of `runs.FOUND` found for this lock's model; empty where it has not scored that one."""
        try:
            metrics, trained = (
                json.loads(self.text(*self.out(name, file)))
                for name, file in ((stage, Path(runs.FOUND[stage]).name), (f"train_{approach}", "metrics.json"))
            )
        except NotThere:
            return {}
        scored = metrics.get(approach, {}).get("model_sha256")
        return runs.figures(stage, approach, metrics) if scored and scored == trained.get("model_sha256") else {}

    def training(self, approach: str) -> tuple[runs.Training, str]:
        """All that is kept of a training, and why it is without its model, if it is.

        Raises:
            NotThere: history or metrics cannot be had, or in the working tree are not those of the lock.
        """
        stage = f"train_{approach}"
        files = {name: self.text(*self.out(stage, name)) for name in ("history.csv", "metrics.json")}
        read = [self.stages.get(name, {}).get("params", {}).get("params.yaml", {}) for name in ("split", stage)]
        training, lacking = runs.Training(runs.flatten(read[0] | read[1]), files), ""
        try:
            path, _ = self.out(stage, approach)
            if not self.rev and Path(path).is_dir():
                self.folder(stage, approach, None)  # raises where the model beside the card is not the lock's
            files["card.json"] = self.text(f"{path}/card.json")
            training.card = json.loads(files["card.json"])
            training.figures |= runs.cost(self.text(f"reports/cost/{approach}.json"), training.card)
        except NotThere as error:
            lacking = "" if training.card else str(error)
        for scoring in runs.FOUND:
            training.figures |= self.figures(scoring, approach)
        return training, lacking

    def _md5(self, folder: Path) -> str:
        from dvc_data.hashfile.build import build

        repo = self.files.repo
        made = build(
            repo.cache.local, str(folder.resolve()), repo.cache.local.fs, "md5", dry_run=True, ignore=repo.dvcignore
        )
        return str(made[2].hash_info.value)


def training_key(entry: Entry) -> str:
    """32 hex digits of a training: what it rests on (dependencies, parameters) and what it made, by their hashes."""
    rests_on = {side: {one["path"]: one["md5"] for one in entry.get(side, [])} for side in ("deps", "outs")}
    known = {**rests_on, "params": entry.get("params", {})}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:32]


def workspace(root: Path = Path(".")) -> State:
    """The lock of the working tree at `root`. Raises UserError where there is none."""
    try:
        return State("", "", _stages((root / "dvc.lock").read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError("dvc.lock: no such file; run `dvc repro` first, in the project's root") from None


def commit(rev: str, name: str = "") -> State:
    """The lock of a commit, without stages where it has none."""
    return State(rev, name, _stages(git("show", f"{rev}:./dvc.lock")))


def past_commits() -> Iterator[State]:
    """Each commit on a branch or tag that changed dvc.lock, newest first."""
    return map(commit, git("log", "--branches", "--tags", "--format=%H", "--", "dvc.lock").split())


def experiments() -> Iterator[State]:
    """Each experiment that DVC keeps in this repository."""
    for line in git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines():
        rev, ref = line.split(" ", 1)
        parts = ref.split("/")
        # refs/exps/<2 digits>/<38 digits>/<name>; others are DVC's own: exec, stash, queues
        if len(parts) == 5 and len(parts[2]) == 2:
            yield commit(rev, parts[4])


def _stages(text: str) -> dict[str, Entry]:
    from ruamel.yaml import YAML

    return dict((YAML(typ="safe", pure=True).load(text) or {}).get("stages", {}))
