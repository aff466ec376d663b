"""The options of train_finetune reach the card, and the card makes the detector score as val was scored in training."""

import json
import sys

import pytest
import torch
from sklearn.metrics import log_loss

from fakeface.detector.batches import VAL_BATCH
from fakeface.detector.calibration import uncalibrated
from fakeface.detector.device import Compute
from fakeface.detector.predictor import Predictor
from fakeface.images.store import Dataset

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]


def test_val_loss_is_that_of_the_saved_detector_with_its_options_and_no_other(trainable):
    options = {"with_mirrored": True, "score_crops": 5}
    trainable.set(base={"tracking": False, "precision": "bf16"}, train_finetune=options)
    trainable.run(sys.executable, "-m", "stages.train_finetune")
    folder = trainable.path / "models" / "finetune"
    card = json.loads((folder / "card.json").read_text())
    assert options.items() <= card.items()
    dataset = Dataset.open(trainable.path / "data" / "split")
    rows = dataset.rows("val")

    def loss(**changes: object) -> float:
        (folder / "card.json").write_text(json.dumps(card | changes))
        predictor = Predictor.load(folder, Compute(torch.device("cpu"), "bf16"), VAL_BATCH)
        scores = uncalibrated(predictor.scores(dataset.pixels, rows), card["temperature"])
        return float(log_loss(dataset.labels[rows], scores))

    wanted = card["metrics"]["val_loss"]
    assert loss() == pytest.approx(wanted, abs=2e-6)
    for name, other in {"with_mirrored": False, "score_crops": 1}.items():
        assert loss(**{name: other}) != pytest.approx(wanted, abs=2e-6)
