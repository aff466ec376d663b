"""benchmarks/predict.py, faces.py and augment.py run and print their figures."""

import re

import pytest
import torch
from conftest import ROOT, Project, write_faces
from PIL import Image

from fakeface.detector.checkpoints import save
from fakeface.detector.networks import build
from fakeface.sample.portraits import draw_portrait

BENCHMARKS = ROOT / "benchmarks"
pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]


def test_predict_is_timed_beside_evaluate(tmp_path):
    torch.manual_seed(0)
    card = {"approach": "scratch", "network": "mynet", "image_size": 100, "crop_size": 96, "threshold": 0.5}
    save(tmp_path / "detector", build("mynet", 96), card | {"temperature": 1.0, "data_hash": "x"})
    write_faces(tmp_path / "faces", 5)
    command = ["python", f"{BENCHMARKS}/predict.py", "faces", "--model", "detector", "--turns", "2"]
    out = Project(tmp_path).run(*command).stdout
    low, high = re.search(r"predict / evaluate by the clock: [\d.]+ \(([\d.]+) to ([\d.]+)\)", out).groups()
    assert 0 < float(low) <= float(high)


def test_faces_are_counted_by_their_size(tmp_path):
    for number in range(3):
        Image.fromarray(draw_portrait(number)).save(tmp_path / f"{number}.png")
    out = Project(tmp_path).run("python", f"{BENCHMARKS}/faces.py", str(tmp_path), "--photos", "1").stdout
    found = {int(side): int(count) for side, count in re.findall(r"^side +(\d+): (\d+) of \d", out, re.MULTILINE)}
    assert len(found) == 8
    assert found[700] == 1


def test_every_augmentation_has_its_line(prepared):
    out = prepared.run(
        "python", f"{BENCHMARKS}/augment.py", "--images", "8", "--turns", "1", "--crop-size", "64"
    ).stdout
    times = dict(re.findall(r"^(\w+) +([\d.]+) ms an image$", out, re.MULTILINE))
    assert set(times) == {"none", "crop", "article", "robust"}
