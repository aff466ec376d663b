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
def test_table_has_a_row_a_stage_and_size_and_nothing_is_left_behind(scale, tmp_path):
    result = run("--sizes", "200,100", "--epoch-images", "90", "--folder", ".", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = [line.strip("| ").split(" | ") for line in result.stdout.splitlines() if re.match(r"\| [a-z_]+ \| \d", line)]
    assert [row[0] for row in rows] == [stage for stage in scale.STAGES for _ in range(3)]
    assert [row[1] for row in rows] == ["100", "200", "1000000, extrapolated"] * len(scale.STAGES)
    epoch = [row[2] for row in rows if row[0] == "train_scratch"]
    assert epoch == ["75", "112", "112"]  # 60 and 90 to train, a quarter more to validate
    assert all(50 < float(row[5]) < 2000 for row in rows if row[1] != "1000000, extrapolated")
    assert list(tmp_path.iterdir()) == []


def test_growth_is_told_by_its_exponent_and_carried_on_to_a_million(scale, capsys):
    """Of all stages 1 s and 1 MB at start; then 2, 8 and 32 s for 1000, 2000 and 4000 images, with 3, 4 and 6 MB."""
    taken = {scale.START: (1, 1), 1000: (3, 3), 2000: (9, 4), 4000: (33, 6)}
    costs = {n: dict.fromkeys(scale.STAGES, scale.Cost(s, mb * 10**6)) for n, (s, mb) in taken.items()}
    scale.print_table(costs, 10**9)
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    of_split = [row for row in rows if row[0] == "split"]
    assert of_split[:3] == [
        ["split", "1000", "1000", "2.0", "", "3"],
        ["split", "2000", "2000", "8.0", "2.00", "4"],
        ["split", "4000", "4000", "32.0", "2.00", "6"],
    ]
    assert of_split[3] == ["split", "1000000, extrapolated", "1000000", f"{32 * 250**2}", "", "1002"]
    evaluated = [row for row in rows if row[0] == "evaluate"]
    assert evaluated[0][2] == "400"  # a quarter to test, 15 % to validate
