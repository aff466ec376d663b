"""What MLflow costs a training stage: the same stage with base.tracking off and on, in turn.

Run it in the project after `dvc repro split` or `dvc pull`, on a quiet machine; where other work runs, the CPU time
and the smallest figures tell most. Everything is written to a temporary clone. The store is made before the first turn.
"""

import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from ruamel.yaml import YAML

from fakeface.core.errors import UserError
from fakeface.core.run import run

ROOT = Path(__file__).parents[1]


def tracking_cost(
    epochs: Annotated[int, typer.Option(min=1, help="Of train_scratch.")] = 1,
    turns: Annotated[int, typer.Option(min=1)] = 5,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    if not (ROOT / "data/split/pixels.npy").exists():
        raise UserError("data/split/pixels.npy: no such file; run `dvc repro split` or `dvc pull` first")
    with tempfile.TemporaryDirectory(prefix="fakeface-tracking-") as name:
        place = Path(name, "project")
        subprocess.run(["git", "clone", "-q", str(ROOT), str(place)], check=True)
        (place / "data/split").symlink_to(ROOT / "data/split")
        sides: dict[bool, list[tuple[float, float, float]]] = {False: [], True: []}
        for turn in range(turns + 1):
            for tracking in (False, True):
                measured = one(place, tracking, epochs, threads)
                if turn:  # the first makes the store and fills the disk's cache
                    sides[tracking].append(measured)
    print("| base.tracking | stage, s: median (lowest) | CPU time, s | training alone, s |\n|---|---|---|---|")
    for tracking, figures in sides.items():
        columns = [f"{statistics.median(c):.2f} ({min(c):.2f})" for c in zip(*figures, strict=True)]
        print(f"| {str(tracking).lower()} | {' | '.join(columns)} |")


def one(place: Path, tracking: bool, epochs: int, threads: int) -> tuple[float, float, float]:
    """Seconds of the whole command, of CPU time in it, and of its training."""
    yaml, path = YAML(), place / "params.yaml"
    params = yaml.load(path.read_text(encoding="utf-8"))
    params["base"] |= {"tracking": tracking, "threads": threads}
    params["train_scratch"]["epochs"] = epochs
    yaml.dump(params, path)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "stages.train_scratch"]
    result = subprocess.run(command, cwd=place, capture_output=True, text=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode or "tracking stopped" in result.stderr:
        raise UserError(f"train_scratch: {result.stderr.strip()}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, float(re.findall(r"trained ([\d.]+) s", result.stdout)[-1])


if __name__ == "__main__":
    run(tracking_cost, __doc__)
