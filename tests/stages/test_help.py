"""A stage's --help is there at once and says what it reads, writes and how long it takes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGES = sorted(path.stem for path in (ROOT / "stages").glob("*.py"))
HELP = """
import runpy, sys
sys.argv = ["x", "--help"]
try:
    runpy.run_path(FILE, run_name="__main__")
finally:
    print("heavy:", sorted({"torch", "mlflow", "pandas", "numpy", "dvc"} & set(sys.modules)))
"""


@pytest.mark.parametrize("name", STAGES)
def test_help_says_what_it_reads_writes_and_takes_and_imports_nothing_heavy(name):
    started = time.perf_counter()
    command = [sys.executable, "-c", f"FILE = 'stages/{name}.py'\n{HELP}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    # 0.3 s on a quiet machine; torch or mlflow alone take more than this bound
    assert time.perf_counter() - started < 5
    for word in ("Reads", "Writes", "Takes"):
        assert word in result.stdout
    assert "heavy: []" in result.stdout
