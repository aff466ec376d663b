"""benchmarks/gpu.sh at tiny sizes on a CPU: it comes to its end, prints every table, and stops when its time is over."""

import re
import subprocess

import pytest
from conftest import ROOT, Project

STAGES = ["split", "features", "train_scratch", "train_extractor", "train_finetune", "evaluate"]
APPROACHES = ["scratch", "extractor", "finetune"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    tiny = ["--tiny", "--pictures", "24", "--device", "cpu", "--threads", "1", "--recipe", "article"]
    return Project(ROOT).run(str(ROOT / "benchmarks/gpu.sh"), *tiny, *arguments, PYTHON="python")


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| (\w[\w ]*) \|", text, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("part", [("--direct",), ("--part", "stages")])
def test_prints_the_tables(part):
    """Directly, as on a machine with torch alone, and by the project's own stages."""
    done = run(*part, "--group-by", "photo")
    assert "Failed" not in done.stdout
    assert "Stopped" not in done.stdout
    titles = re.findall(r"^### (.*)", done.stdout, re.MULTILINE)
    tables = ["stage", *STAGES, "features and trainings", "all", "approach", *APPROACHES]
    assert first_cells(done.stdout)[: len(tables)] == tables
    seconds = dict(re.findall(r"^\| (\w+) \| ([\d.]+) \|", done.stdout, re.MULTILINE))
    assert float(seconds["all"]) == pytest.approx(sum(float(seconds[name]) for name in STAGES), abs=0.5)
    assert len(re.findall(r"^\| train_\w+ \| [\d.]+ \| [\d.]+ \| [\d.]+ \|$", done.stdout, re.MULTILINE)) == 3
    if part == ("--direct",):
        assert len(titles) == 5
        assert first_cells(done.stdout)[len(tables) :] == ["approach", "scratch"]
        rows = re.findall(r"^\| mynet, 16 \| (on|off) \| (no|yes) \| ([\d.]+) \|", done.stdout, re.MULTILINE)
        assert [row[:2] for row in rows] == [("off", "no"), ("off", "yes"), ("on", "no")]
        assert all(float(row[2]) > 0 for row in rows)
        assert re.search(r"\d+ (passed|skipped)", done.stdout)
        assert re.search(r"largest relative difference .*: equal", done.stdout)


def test_stops_when_the_time_is_over():
    done = run("--direct", "--minutes", "0.03", "--part", "stages")
    assert done.stdout.rstrip().endswith("Stopped here: the 0.03 minutes are over.")
    assert "| evaluate" not in done.stdout
