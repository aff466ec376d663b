"""The two benchmarks that train through the stages, at tiny sizes: their tables and files hold what they say."""

import json
import subprocess

import pytest
from conftest import ROOT, Project

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return Project(ROOT).run("python", f"benchmarks/{script}", *arguments, check=False)


def table(text: str) -> list[list[str]]:
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert len({len(row) for row in rows}) == 1
    return rows[1:]


def test_time_to_accuracy(faces, tmp_path):
    out, picture = tmp_path / "out.json", tmp_path / "out.png"
    small = "--protocol fractions --val 0.25 --epochs 1 --timed-images 8 --threads 1 --networks resnet18 --weights none"
    files = ["--data", str(faces), "--json", str(out), "--picture", str(picture)]
    done = run("time_to_accuracy.py", *files, *small.split())
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())
    assert len(results) == 2
    for row in results.values():
        assert len(row["minutes"]) == len(row["val_accuracy"]) == 1
        assert row["minutes"][0] > 0
        assert 0 <= row["test_accuracy"] <= 1
    rows = table(done.stdout)
    assert [row[0] for row in rows] == list(results)
    assert rows[0][5] == "1.0"  # the article's own end
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_views(faces):
    done = run("views.py", "--data", str(faces), "--protocol", "fractions", "--views", "1,2", "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert [row[0] for row in table(done.stdout)] == ["1", "2"]
