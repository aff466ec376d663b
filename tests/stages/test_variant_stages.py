"""Trainings beside the pipeline's own, the stages variant_seed, variant_leak and variants, and DVC's plots, on tiny faces."""

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
VERDICTS = "balanced_accuracy_at_threshold"
APPROACHES = ["scratch", "extractor", "finetune"]
SEEDS = [f"variant_seed@{name}-1" for name in APPROACHES]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Project:
    """A tiny project on 24 pairs of faces, run up to `variants` with one further seed and the leak of one approach."""
    variants = {"seeds": [1], "leak": ["extractor"]}
    project = tiny_on_faces(tmp_path_factory.mktemp("variants") / "project", evaluate=variants)
    (project.path / "dvc.lock").unlink()
    ran = project.run("dvc", "repro", "variants", timeout=400).stdout
    assert started(ran)[-5:] == [*SEEDS, "variant_leak@extractor", "variants"]
    assert re.findall(r"^(\w+), leak$", ran, re.MULTILINE) == ["split", "features", "train_extractor"]
    project.commit("ran")
    return project


@pytest.fixture
def trained(built: Project) -> Iterator[Project]:
    """Parameters and what git holds are put back, and what a failed test left is cleared away."""
    yield built
    built.run("git", "checkout", "-q", ".")
    shutil.rmtree(built.path / ".fakeface" / "variants", ignore_errors=True)


def started(stdout: str) -> list[str]:
    return [name for name in re.findall(r"Running stage '([\w@-]+)'", stdout) if name != "check"]


def variant(project: Project, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return project.run(sys.executable, "-m", "stages.variant", *arguments, check=check)


def begun(project: Project, *arguments: str) -> subprocess.Popen[str]:
    command, pipes = (
        [sys.executable, "-m", "stages.variant", *arguments],
        {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE},
    )
    return subprocess.Popen(command, cwd=project.path, env=environment(), text=True, **pipes)  # type: ignore[call-overload]


def read(project: Project, path: str) -> dict:
    return json.loads((project.path / "reports" / path).read_text())


def own_accuracies(project: Project) -> dict[str, float]:
    metrics = read(project, "evaluate/metrics.json")
    return {name: metrics[name][VERDICTS] for name in APPROACHES}


def gone(children: list[psutil.Process]) -> bool:
    psutil.wait_procs(children, timeout=20)
    return not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_a_further_seed_trains_only_what_is_new_and_a_seed_less_trains_nothing(trained):
    summary = read(trained, "seeds/seeds.json")
    assert summary["seeds"] == 2
    for name, first in own_accuracies(trained).items():
        row, of_it = summary["approaches"][name], read(trained, f"evaluate/variants/{name}/seed-1/metrics.json")
        assert row[VERDICTS] == [first, of_it[VERDICTS]]
        table = pd.read_csv(trained.path / f"reports/evaluate/variants/{name}/seed-1/predictions.csv")
        right = (table["score"] >= of_it["threshold"]) == (table["label"] == 1)
        assert right.groupby(table["label"]).mean().mean() == pytest.approx(of_it[VERDICTS], abs=1e-6)
    assert not list((trained.path / ".fakeface" / "variants").iterdir())  # nothing but the scores is kept

    trained.set(evaluate={"seeds": [1, 2]})
    expected = [*(name.replace("-1", "-2") for name in SEEDS), "variants"]
    assert started(trained.run("dvc", "repro", "--dry", "variants").stdout) == expected

    trained.set(evaluate={"seeds": []})
    less = trained.run("dvc", "repro", "variants")
    assert started(less.stdout) == ["variants"]
    assert (
        "note: reports/evaluate/variants/finetune/seed-1 belongs to a variant that params.yaml does not list"
        in less.stdout
    )
    assert {n: row[VERDICTS] for n, row in read(trained, "seeds/seeds.json")["approaches"].items()} == {
        name: [accuracy] for name, accuracy in own_accuracies(trained).items()
    }


def test_without_variants_the_figures_say_so_and_torch_stays_out(trained):
    trained.set(evaluate={"seeds": [], "leak": []})
    code = "import sys; from fakeface.core.load import load_params; from fakeface.variants.summary import variants; "
    code += "variants(load_params()); assert 'torch' not in sys.modules"
    trained.run("python", "-c", code)
    assert read(trained, "seeds/seeds.json")["seeds"] == 1
    assert read(trained, "leak/leak.json") == {}


def test_the_leak_compares_the_same_training_on_two_splits(trained):
    found = read(trained, "leak/leak.json")
    assert list(found) == ["extractor"]
    grouped, none = found["extractor"]["grouped"], found["extractor"]["none"]
    test = pd.read_csv(trained.path / "reports/evaluate/predictions.csv").query("split == 'test'")
    assert (grouped[VERDICTS], grouped["n"]) == (own_accuracies(trained)["extractor"], len(test))
    parts = [none["twin_in_train"], none["no_twin_in_train"]]
    assert sum(part["n"] for part in parts) == none["n"] == len(test)
    assert parts[0]["n"] > 0  # of 12 test images at random, in half of the cases the twin is in train
    for row in (grouped, none):
        assert row["interval"][0] <= row[VERDICTS] <= row["interval"][1]
    assert trained.run("dvc", "status", "-q", "evaluate", "variants").returncode == 0


def test_a_variant_is_drawn_pushed_and_pulled_like_any_stage(trained, tmp_path):
    assert all(name in trained.run("dvc", "dag", "--mermaid").stdout for name in SEEDS)
    trained.run("dvc", "remote", "add", "-d", "--local", "storage", str(tmp_path / "remote"))
    trained.run("dvc", "push", SEEDS[0])
    predictions = trained.path / "reports/evaluate/variants/scratch/seed-1/predictions.csv"
    before = predictions.read_bytes()
    predictions.unlink()
    cache = trained.path / ".dvc" / "cache"
    cache.rename(tmp_path / "cache")
    try:
        trained.run("dvc", "pull", SEEDS[0])
    finally:
        shutil.rmtree(cache)
        (tmp_path / "cache").rename(cache)
    assert predictions.read_bytes() == before


def test_a_fresh_clone_is_told_without_any_data_what_would_run_first(trained, tmp_path):
    trained.run("git", "clone", "-q", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    dry = ("dvc", "repro", "--dry", "--allow-missing", "evaluate")
    assert "up to date" in clone.run(*dry).stdout
    clone.set(train_finetune={"lr": 0.002})
    assert "failed to reproduce 'train_finetune'" in clone.run(*dry, check=False).stderr


def test_killed_with_its_training_it_goes_on_after_the_last_epoch_and_ends_with_the_same_bytes(trained):
    predictions = trained.path / "reports/evaluate/variants/scratch/seed-1/predictions.csv"
    whole = predictions.read_bytes()
    predictions.unlink()
    process = begun(trained, "scratch", "seed-1")
    deadline = time.monotonic() + 120
    while not [path for path in (trained.path / ".fakeface/resume").glob("scratch-*") if path.suffix == ".safetensors"]:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert children
    assert gone(children)
    assert "resuming after epoch" in variant(trained, "scratch", "seed-1").stderr
    assert predictions.read_bytes() == whole


def test_asked_to_stop_it_takes_the_stage_that_it_runs_with_it(trained):
    process = begun(trained, "extractor", "seed-1")
    assert process.stdout.readline().strip() == "features, seed-1"
    children = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "Traceback" not in said
    assert gone(children)


def test_several_processes_train_together_here_too(trained):
    trained.set(base={"processes": 2})
    variant(trained, "scratch", "seed-3")
    assert 0 <= read(trained, "evaluate/variants/scratch/seed-3/metrics.json")[VERDICTS] <= 1
    shutil.rmtree(trained.path / "reports/evaluate/variants/scratch/seed-3")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("extractor", "leak"), "data/nowhere: no such data folder"),
        (("plain", "leak"), "plain: no such approach; allowed here: scratch, extractor, finetune"),
        (("scratch", "seed-x"), "seed-x: no such change; allowed here: seed-<number>, leak"),
    ],
)
def test_what_goes_wrong_is_one_line_and_what_was_written_before_stays(trained, arguments, reason):
    trained.set(split={"data": "data/nowhere"})
    written = trained.path / "reports/evaluate/variants/extractor/leak/predictions.csv"
    before = written.read_bytes()
    result = variant(trained, *arguments, check=False)
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if line.strip()]
    assert line.startswith("error: ")
    assert reason in line.replace(f"{trained.path}/", "")
    assert written.read_bytes() == before


def test_without_an_evaluation_the_summary_says_what_to_run(trained):
    (trained.path / "reports/evaluate/metrics.json").unlink()
    result = trained.run(sys.executable, "-m", "stages.variants", check=False)
    assert result.returncode == 1
    assert result.stderr.strip() == "error: reports/evaluate/metrics.json: no such file; run `dvc repro variants`"


def test_plots_show_all_approaches_and_smooth_nothing(trained):
    shown = json.loads(trained.run("dvc", "plots", "show", "--json").stdout)
    assert not shown.get("errors")
    histories = {f"reports/train/{name}/history.csv" for name in APPROACHES}
    together = {f"reports/evaluate/{name}.csv" for name in ("curves", "roc", "figures", "pairs")}
    assert set(shown["data"]) == histories | together
    for path, (plot,) in shown["data"].items():
        spec = json.dumps(plot["content"])
        assert not re.search("loess|regression|interpolate", spec), path
        assert path not in together or all(name in spec for name in APPROACHES)
