"""benchmarks/augment.py times every augmentation on a split that is there."""

import re
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "augment.py"


@pytest.mark.slow
@pytest.mark.exhaustive
def test_every_augmentation_has_its_line(prepared):
    out = prepared.run("python", str(SCRIPT), "--images", "8", "--turns", "1", "--crop-size", "64").stdout
    times = dict(re.findall(r"^(\w+) +([\d.]+) ms an image$", out, re.MULTILINE))
    assert set(times) == {"none", "crop", "article", "robust"}
