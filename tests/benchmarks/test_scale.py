"""benchmarks/scale.py runs the real stages at tiny sizes and prints its table; what it is told wrongly is one line."""

import importlib.util
import re
import sys

import pytest
from conftest import ROOT, Project

SCRIPT = ROOT / "benchmarks" / "scale.py"


@pytest.fixture(scope="module")
def scale():
    spec = importlib.util.spec_from_file_location("scale", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["scale"] = module
    spec.loader.exec_module(module)
    return module


def run(*arguments, cwd):
    return Project(cwd).run("python", str(SCRIPT), *arguments, check=False)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_table_has_a_row_a_size_and_nothing_is_left_behind(tmp_path):
    quick = ["--epoch-images", "90", "--repeats", "1", "--folder", "."]
    result = run("--sizes", "200,100", *quick, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = [line.strip("| ").split(" | ") for line in result.stdout.splitlines() if re.match(r"\| \d", line)]
    assert [row[0] for row in rows] == ["100", "200"]
    assert [len(row) for row in rows] == [10, 10]
    assert [row[5] for row in rows] == ["75", "112"]  # 60 and 90 to train, a quarter more to validate
    assert all(50 < float(row[4]) < 2000 for row in rows)
    assert "Start-up" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_costs_are_compared_with_those_measured_beside_them(scale, capsys):
    """Split 1 s and training 3 s at start; then 2 ms and 4 ms an image, beside 1 ms and 2 ms before and 3 ms and 2 ms after."""

    def cost(split, train):
        return scale.Cost(1 + split, 10**6), scale.Cost(3 + train, 5 * 10**6)

    images, seen = 3032, 3000 * 0.75  # 60 % to train and a quarter more to validate
    beside = [cost(1.0, 2e-3 * 1000 * 0.75), cost(3.0, 2e-3 * 1000 * 0.75)]
    row = scale.Row(images, cost(2e-3 * 3000, 4e-3 * seen), beside)
    scale.print_table([row], 1032, cost(0, 0), scale.Cost(1, 2 * 10**6), 10**9)
    cells = capsys.readouterr().out.splitlines()[2].strip("| ").split(" | ")
    assert cells == ["3032", "6.0", "2000", "1.00", "1", "2274", "9.0", "4000", "2.00", "3"]
