"""The stages that train again beside the pipeline, seeds and leak, on tiny faces: what they write, interrupted, failing."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pandas as pd
import psutil
import pytest
from conftest import Project, environment, tiny_on_faces

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]
APPROACHES = ["scratch", "extractor", "finetune"]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Project:
    """A tiny project on 24 pairs of faces, run up to `evaluate`."""
    project = tiny_on_faces(tmp_path_factory.mktemp("again") / "project")
    project.run("dvc", "repro", "evaluate")
    return project


@pytest.fixture
def trained(built: Project) -> Iterator[Project]:
    """Parameters are put back, and what a failed test left is cleared away."""
    before = (built.path / "params.yaml").read_bytes()
    yield built
    (built.path / "params.yaml").write_bytes(before)
    shutil.rmtree(built.path / ".fakeface" / "again", ignore_errors=True)


def again(stdout: str) -> list[str]:
    return re.findall(r"^(\w+ again, .*)$", stdout, re.MULTILINE)


def folders(project: Project) -> list:
    return [path for path in (project.path / ".fakeface" / "again").glob("*") if path.is_dir()]


def written(project: Project, name: str) -> dict[str, bytes]:
    return {file: (project.path / "reports" / name / file).read_bytes() for file in (f"{name}.json", "table.md")}


def own_accuracies(project: Project) -> dict[str, float]:
    metrics = json.loads((project.path / "reports/evaluate/metrics.json").read_text())
    return {name: metrics[name]["accuracy"] for name in APPROACHES}


def test_by_default_nothing_is_trained_and_torch_stays_out(trained):
    for name in ("seeds", "leak"):
        code = f"import sys, stages.{name} as s; s.{name}(); assert 'torch' not in sys.modules"
        assert again(trained.run("python", "-c", code).stdout) == []
    found = json.loads((trained.path / "reports/seeds/seeds.json").read_text())
    assert found["seeds"] == 1
    assert {name: row["mean"] for name, row in found["approaches"].items()} == own_accuracies(trained)
    assert json.loads((trained.path / "reports/leak/leak.json").read_text()) == {}
    assert not (trained.path / ".fakeface" / "again").exists()


def test_seeds_killed_and_started_again_trains_only_the_rest_and_ends_with_the_same_bytes(trained):
    trained.set(evaluate={"seeds": 2})
    command = [sys.executable, "-m", "stages.seeds"]
    process = subprocess.Popen(
        command, cwd=trained.path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    pattern = ".fakeface/again/*/models/scratch/model.safetensors"
    while not (found := list(trained.path.glob(pattern))):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    psutil.wait_procs(children, timeout=20)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    # another seed, other weights, on the same split
    assert found[0].read_bytes() != (trained.path / "models/scratch/model.safetensors").read_bytes()
    cards = [json.loads((f / "card.json").read_text()) for f in (found[0].parent, trained.path / "models/scratch")]
    assert [card["seed"] for card in cards] == [1, 0]
    assert cards[0]["data_hash"] == cards[1]["data_hash"]

    rest = trained.run(*command)
    assert again(rest.stdout) == [f"{name} again, base.seed 1" for name in ("train_extractor", "train_finetune")]
    assert folders(trained) == []
    interrupted = written(trained, "seeds")
    summary = json.loads(interrupted["seeds.json"])
    assert summary["seeds"] == 2
    for name, first in own_accuracies(trained).items():
        row = summary["approaches"][name]
        assert row["accuracy"][0] == first
        assert row["mean"] == pytest.approx(sum(row["accuracy"]) / 2, abs=1e-6)
        assert row["sd"] == pytest.approx(abs(row["accuracy"][0] - row["accuracy"][1]) / 2**0.5, abs=1e-6)

    whole = trained.run(*command)
    assert len(again(whole.stdout)) == 4
    assert written(trained, "seeds") == interrupted


def test_the_leak_of_one_approach_through_dvc(trained):
    manifest = (trained.path / "data/split/manifest.csv").read_bytes()
    trained.set(evaluate={"leak": ["extractor"]})
    ran = again(trained.run("dvc", "repro", "leak").stdout)
    assert ran == [f"{name} again, split.group_by none" for name in ("split", "features", "train_extractor")]
    first = written(trained, "leak")
    found = json.loads(first["leak.json"])
    assert list(found) == ["extractor"]
    grouped, none = found["extractor"]["grouped"], found["extractor"]["none"]
    test = pd.read_csv(trained.path / "reports/evaluate/predictions.csv").query("split == 'test'")
    assert (grouped["accuracy"], grouped["n"]) == (own_accuracies(trained)["extractor"], len(test))
    assert none["n"] == len(test)
    parts = [none["twin_in_train"], none["no_twin_in_train"]]
    assert sum(part["n"] for part in parts) == none["n"]
    assert parts[0]["n"] > 0  # of 12 test images at random, in half of the cases the twin is in train
    right = sum(part["accuracy"] * part["n"] for part in parts if part["n"])
    assert right / none["n"] == pytest.approx(none["accuracy"], abs=1e-5)
    for row in (grouped, none):
        assert row["interval"][0] <= row["accuracy"] <= row["interval"][1]
    # the pipeline's own split and models are as they were, and nothing is left
    assert (trained.path / "data/split/manifest.csv").read_bytes() == manifest
    assert folders(trained) == []
    assert trained.run("dvc", "status", "evaluate", "-q", check=False).returncode == 0

    # several processes train together here too
    trained.set(base={"processes": 2}, evaluate={"leak": ["scratch"]})
    assert len(again(trained.run("python", "-m", "stages.leak").stdout)) == 2
    assert list(json.loads(written(trained, "leak")["leak.json"])) == ["scratch"]

    trained.set(base={"processes": 1}, evaluate={"leak": ["extractor"]})
    trained.run("python", "-m", "stages.leak")
    assert written(trained, "leak") == first


def test_a_stage_that_fails_is_one_line_and_what_was_written_before_stays(trained):
    trained.run("python", "-m", "stages.leak")
    before = written(trained, "leak")
    trained.set(split={"data": "data/nowhere"}, evaluate={"leak": ["scratch"]})
    result = trained.run("python", "-m", "stages.leak", check=False)
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1
    assert lines[0].startswith("error: split again, split.group_by none: ")
    assert "data/nowhere: no such data folder" in lines[0]
    assert written(trained, "leak") == before


def test_asked_to_stop_it_takes_the_stage_it_runs_with_it(trained):
    trained.set(evaluate={"seeds": 2})
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.seeds"],
        cwd=trained.path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().strip() == "features again, base.seed 1"
    children = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "Traceback" not in said
    psutil.wait_procs(children, timeout=10)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_without_an_evaluation_it_says_what_to_run(trained):
    metrics = trained.path / "reports/evaluate/metrics.json"
    metrics.rename(metrics.with_suffix(".away"))
    try:
        result = trained.run("python", "-m", "stages.seeds", check=False)
    finally:
        metrics.with_suffix(".away").rename(metrics)
    assert result.returncode == 1
    assert result.stderr.strip() == "error: reports/evaluate/metrics.json: no such file; run `dvc repro evaluate`"
