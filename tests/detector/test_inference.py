"""Scoring keeps a row for each image, and not the memory of its batch."""

import subprocess
import sys

import pytest

GROWTH = """
import resource
import numpy as np, torch
from fakeface.detector.batches import PixelBatches
from fakeface.detector.device import configure
from fakeface.detector.networks import NETWORKS, build
from fakeface.detector.predictor import logits_of

compute = configure(0, 1, "cpu", "fp32")
model = build("mynet", 96).to(memory_format=torch.channels_last)
pixels = np.zeros((64, 3, 96, 96), np.uint8)
peaks = []
for count in (256, 256, 1536):
    rows = np.arange(count) % 64
    batches = PixelBatches(
        pixels, np.zeros(64, np.int64), rows, NETWORKS["mynet"], crop_size=96, batch_size=64, device=compute.device
    )
    logits_of(model, batches, compute)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print((peaks[2] - peaks[1]) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts resident memory as Linux does, with glibc's mallopt")
def test_memory_does_not_grow_with_the_number_of_images():
    """Small tensors that were kept, one a batch, held the memory of large ones: 65 MB every 1000 images."""
    result = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, timeout=300, check=True)
    assert float(result.stdout) < 20
