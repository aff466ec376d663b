"""docs/start.md is true: its commands run, in their order, in a fresh copy of the project with a few faces."""

import csv
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import pytest
from conftest import ROOT, TINY, Project, copy_project, environment, write_faces
from ruamel.yaml import YAML

BLOCK = re.compile(r"^```(sh|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """Kind and text of each block that a reader runs (sh) or writes into params.yaml (yaml)."""
    return BLOCK.findall((ROOT / "docs/start.md").read_text())


def test_no_block_is_left_out():
    text = (ROOT / "docs/start.md").read_text()
    assert text.count("```") == 2 * len(blocks())
    assert {kind for kind, _ in blocks()} == {"sh", "yaml"}


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.timeout(900)
def test_every_command_of_the_start_page_runs(tmp_path):
    project = copy_project(tmp_path / "project")
    (project.path / "dvc.lock").unlink()  # as in a project of one's own
    shutil.rmtree(project.path / "reports")
    project.set(**TINY)
    project.commit("tiny parameters")
    home = tmp_path / "home"
    write_faces(home, 24)
    (home / "0_real").rename(home / "faces_real")
    (home / "1_fake").rename(home / "faces_fake")
    (home / "faces").mkdir()
    for name in ("real", "fake"):
        (home / f"faces_{name}").rename(home / "faces" / name)
    write_faces(home / "more", 2, seed=5)
    (home / "more" / "0_real").rename(home / "faces" / "unknown")

    said = {}
    for kind, text in blocks():
        if kind == "yaml":
            project.set(**YAML(typ="safe").load(text))
        elif text.startswith("mlflow ui"):
            said[text] = served(project, text)
        else:
            result = project.run("bash", "-euo", "pipefail", "-c", text, timeout=600, **own(project, home))
            said[text] = result.stdout
    assert re.search(
        r"24 real and 24 fake images in \S*/faces", next(out for text, out in said.items() if "check" in text)
    )
    first, second = (out for text, out in said.items() if text.startswith("dvc repro\n"))
    assert "Running stage 'train_scratch'" in first
    assert re.findall(r"Running stage '(train_\w+)'", second) == ["train_finetune"]
    assert "reports/evaluate/metrics.json" in second
    reports = project.path / "reports"
    assert (reports / "index.html").is_file()
    assert (reports / "audit/index.html").is_file()
    assert json.loads((reports / "evaluate/metrics.json").read_text())["scratch"]["n_test"] == 12
    with (project.path / "verdicts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert all(0 <= float(row["score"]) <= 1 and row["verdict"] in ("real", "fake", "unsure") for row in rows)
    assert "To be filled in by whoever trained it" in (project.path / "model_card.md").read_text()
    assert '"run_name": "finetune"' in said[next(text for text in said if text.startswith("mlflow ui"))]


def own(project: Project, home) -> dict[str, str]:
    """The reader's home, and the copy's own package for the console command."""
    return {"HOME": str(home), "PYTHONPATH": str(project.path)}


def served(project: Project, command: str) -> str:
    """Starts MLflow's page on a free port, asks it for the runs' names, and ends it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command.strip()} --port {port}"],
        cwd=project.path,
        env=environment(MLFLOW_DISABLE_TELEMETRY="true"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    body = json.dumps({"experiment_ids": ["1"], "max_results": 100}).encode()
    url = f"http://127.0.0.1:{port}/api/2.0/mlflow/runs/search"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    deadline = time.monotonic() + 120
    try:
        while True:
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                    return answer.read().decode()
            except OSError:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.5)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
