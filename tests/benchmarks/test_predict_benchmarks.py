"""benchmarks/predict.py and benchmarks/faces.py run and print their figures."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import environment, write_faces
from PIL import Image

from fakeface.detector.checkpoints import save
from fakeface.detector.networks import build
from fakeface.sample.portraits import draw_portrait

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]


def run(folder, *arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=True).stdout


def test_predict_is_timed_beside_evaluate(tmp_path):
    torch.manual_seed(0)
    card = {"approach": "scratch", "network": "mynet", "image_size": 100, "crop_size": 96, "threshold": 0.5}
    save(tmp_path / "detector", build("mynet", 96), card | {"temperature": 1.0, "data_hash": "x"})
    write_faces(tmp_path / "faces", 5)
    out = run(tmp_path, BENCHMARKS / "predict.py", "faces", "--model", "detector", "--turns", 2)
    low, high = re.search(r"predict / evaluate: [\d.]+ \(([\d.]+) to ([\d.]+)\)", out).groups()
    assert 0 < float(low) <= float(high)


def test_faces_are_counted_by_their_size(tmp_path):
    for number in range(3):
        Image.fromarray(draw_portrait(number)).save(tmp_path / f"{number}.png")
    out = run(tmp_path, BENCHMARKS / "faces.py", tmp_path, "--photos", 1)
    found = {int(side): int(count) for side, count in re.findall(r"^side +(\d+): (\d+) of \d", out, re.MULTILINE)}
    assert len(found) == 8
    assert found[700] == 1
