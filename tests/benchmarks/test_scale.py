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


def test_faces_depend_on_seed_and_number_alone_and_all_differ(scale, tmp_path):
    scale.make_faces(tmp_path / "a", range(6), 96, 0)
    scale.make_faces(tmp_path / "b", range(3), 96, 0)
    scale.make_faces(tmp_path / "b", range(3, 6), 96, 0)
    scale.make_faces(tmp_path / "c", range(6), 96, 1)
    a, b, c = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.jpg")}
        for name in "abc"
    )
    assert a == b
    assert sorted(a) == sorted(c)
    assert len({*a.values(), *c.values()}) == 24
    assert max(map(len, a.values())) < scale.FILE * 96**2


def test_sizes_are_sorted_whatever_their_order(scale):
    assert scale.parse_sizes("1000, 200,1000") == [200, 1000]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--sizes", "100,x"], "--sizes 100,x"),
        (["--sizes", "99"], "--sizes 99"),
        (["--sizes", ""], "--sizes"),
        (["--sizes", "100", "--folder", "nowhere"], "nowhere"),
        (["--sizes", "100000000000"], "GB are needed"),
    ],
)
def test_wrong_input_is_one_clear_line(tmp_path, arguments, named):
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert named in result.stderr


def test_a_stage_that_fails_is_named_with_its_last_line(scale, tmp_path):
    command = [sys.executable, "-c", "import sys; print('first'); sys.exit('error: no faces')"]
    with pytest.raises(scale.UserError, match="exit code 1: error: no faces"):
        scale.measure(command, tmp_path)
