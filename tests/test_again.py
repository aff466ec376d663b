"""Repetitions beside the pipeline, with stages that only note that they ran: order, interruption, what makes a folder stale."""

import json
import os
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from fakeface.again import trained_again
from fakeface.data.store import Dataset
from fakeface.errors import UserError
from fakeface.params import load_params
from fakeface.training.device import Compute

ROOT = Path(__file__).parents[1]
RUNS = ("features", "train_scratch", "train_extractor", "train_finetune")
STAGE = """
import os, pathlib, signal, sys
name = __spec__.name.removeprefix("stages.")
with open(os.environ["RAN"], "a") as file:
    print(name, file=file)
if os.environ.get("FAIL") == name:
    print("a note on the way", file=sys.stderr, flush=True)
    if os.environ["HOW"] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit("error: the reason" if os.environ["HOW"] == "said" else 3)
made = {"split": "data/split", "features": "data/features"}.get(name, f"models/{name.removeprefix('train_')}")
pathlib.Path(made).mkdir(parents=True)
"""


class Project:
    """A folder with such stages, a split and a weights file; `again` runs the stages and says which of them really ran."""

    def __init__(self, path: Path) -> None:
        self.path, self.params, self.code = path, load_params(ROOT / "params.yaml"), STAGE
        (path / "stages").mkdir()
        (path / "data" / "split").mkdir(parents=True)
        (path / "data" / "split" / "manifest.csv").write_text("one\n")
        (path / "weights.pth").write_text("old")
        self.set("features", weights="weights.pth")
        self.compute = Compute(torch.device("cpu"), "fp32")

    def set(self, section: str, **values) -> None:
        changed = getattr(self.params, section).model_copy(update=values)
        self.params = self.params.model_copy(update={section: changed})

    def again(self, approaches=("scratch", "extractor"), runs=RUNS, seed=1, look=lambda folder: None) -> list[str]:
        for name in ("split", *RUNS):
            (self.path / "stages" / f"{name}.py").write_text(self.code)
        ran = Path(os.environ["RAN"])
        ran.write_text("")
        dataset = Dataset(Path("data/split"), pd.DataFrame(), None)
        with trained_again("base", "seed", seed, self.params, approaches, runs, dataset, self.compute) as folder:
            look(folder)
        return ran.read_text().split()

    def interrupted(self, monkeypatch, how="said", at="train_scratch") -> str:
        monkeypatch.setenv("FAIL", at)
        monkeypatch.setenv("HOW", how)
        with pytest.raises(UserError) as caught:
            self.again()
        monkeypatch.delenv("FAIL")
        return str(caught.value)

    def folders(self) -> list[Path]:
        return [path for path in (self.path / ".fakeface" / "again").iterdir() if path.is_dir()]


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return Project(tmp_path)


def test_only_what_leads_to_the_approaches_runs_and_nothing_is_left(project):
    assert project.again() == ["features", "train_scratch", "train_extractor"]
    assert project.again(["finetune"]) == ["train_finetune"]
    assert project.again(["scratch"], ("split", *RUNS)) == ["split", "train_scratch"]
    assert project.folders() == []
    assert (project.path / "data/split/manifest.csv").read_text() == "one\n"


def test_the_stages_find_their_own_parameters_and_the_same_split(project):
    def look(folder):
        values = YAML(typ="safe").load((folder / "params.yaml").read_text())
        expected = project.params.model_dump()
        expected["base"] |= {"seed": 4, "tracking": False}
        expected["split"]["data"] = str(project.path / project.params.split.data)
        expected["features"]["weights"] = str(project.path / "weights.pth")
        expected["evaluate"] |= {"seeds": 1, "leak": []}
        assert values == json.loads(json.dumps(expected))
        load_params(folder / "params.yaml")
        assert (folder / "data/split/manifest.csv").samefile(project.path / "data/split/manifest.csv")

    project.set("evaluate", seeds=5, leak=["scratch"])
    project.again(seed=4, look=look)


@pytest.mark.parametrize(
    ("how", "reason"),
    [("said", "the reason"), ("crashed", "ended with exit code 3"), ("killed", "ended with signal 9")],
)
def test_a_stage_that_fails_is_named_and_the_next_run_goes_on_there(project, monkeypatch, capfd, how, reason):
    assert project.interrupted(monkeypatch, how) == f"train_scratch again, base.seed 1: {reason}"
    assert capfd.readouterr().err == "a note on the way\n"
    assert project.again() == ["train_scratch", "train_extractor"]
    assert project.folders() == []


def test_what_rests_on_the_folder_fails_and_the_folder_stays(project):
    def full(folder):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        project.again(look=full)
    assert project.again() == []


@pytest.mark.parametrize(
    "change",
    [
        lambda project: project.set("features", views=9),
        lambda project: project.set("train_scratch", lr=0.5),
        lambda project: project.set("base", threads=7),
        lambda project: (project.path / "weights.pth").write_text("new"),
        lambda project: (project.path / "data/split/manifest.csv").write_text("two\n"),
        lambda project: setattr(project, "code", STAGE + "\n# other code\n"),
        lambda project: setattr(project, "compute", Compute(torch.device("cpu"), "bf16")),
    ],
    ids=["parameter", "parameter of a training", "threads", "weights", "data", "code", "precision"],
)
def test_after_a_change_nothing_is_gone_on_with(project, monkeypatch, change):
    project.interrupted(monkeypatch)
    change(project)
    assert project.again() == ["features", "train_scratch", "train_extractor"]
    assert len(project.folders()) == 1  # of the first, for whoever goes back


def test_what_shapes_no_result_is_no_change(project, monkeypatch):
    project.interrupted(monkeypatch)
    project.set("base", tracking=not project.params.base.tracking)
    project.set("evaluate", seeds=7, grid_images=3)
    assert project.again() == ["train_scratch", "train_extractor"]


def test_a_folder_that_nobody_came_back_for_is_forgotten(project, monkeypatch):
    project.interrupted(monkeypatch)
    (old,) = project.folders()
    project.again(seed=2)
    assert project.folders() == [old]
    os.utime(old, (0, time.time() - 15 * 86400))
    project.again(seed=2)
    assert project.folders() == []
