"""A stage's --help is there at once and says what it reads, writes and how long it takes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGES = sorted(path.stem for path in (ROOT / "stages").glob("*.py"))


@pytest.mark.parametrize("name", STAGES)
def test_help_says_what_it_reads_writes_and_takes(name):
    started = time.perf_counter()
    result = subprocess.run(
        [sys.executable, f"stages/{name}.py", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    # 0.3 s on a quiet machine; torch or mlflow at import take more than this bound
    assert time.perf_counter() - started < 5
    for word in ("Reads", "Writes", "Takes"):
        assert word in result.stdout


@pytest.mark.parametrize("name", STAGES)
def test_nothing_heavy_is_imported_for_the_help(name):
    code = f"import sys, runpy; sys.argv = ['x']; runpy.run_path('stages/{name}.py'); print(sorted(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    for heavy in ("torch", "mlflow", "pandas", "numpy", "dvc"):
        assert f"'{heavy}'" not in result.stdout


def test_wrong_usage_exits_with_2():
    result = subprocess.run(
        [sys.executable, "stages/split.py", "--nonsense"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
