"""Options reach the card, and the card makes the detector score as val was scored in training, and predict as evaluate."""

import csv
import json
import sys

import numpy as np
import pytest
import torch
from conftest import tiny_on_faces
from PIL import Image
from sklearn.metrics import log_loss

from fakeface.detector.calibration import uncalibrated
from fakeface.detector.device import Compute
from fakeface.detector.predictor import Predictor
from fakeface.images.store import Dataset
from fakeface.sample.portraits import draw_portrait

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
        predictor = Predictor.load(folder, Compute(torch.device("cpu"), "bf16"))
        scores = uncalibrated(predictor.scores(dataset.pixels, rows), card["temperature"])
        return float(log_loss(dataset.labels[rows], scores))

    wanted = card["metrics"]["val_loss"]
    assert loss() == pytest.approx(wanted, abs=2e-6)
    for name, other in {"with_mirrored": False, "score_crops": 1}.items():
        assert loss(**{name: other}) != pytest.approx(wanted, abs=2e-6)


def test_predict_gives_a_large_photo_the_score_of_its_native_crop(tmp_path):
    project = tiny_on_faces(
        tmp_path, base={"tracking": False, "precision": "fp32"}, split={"store": "native", "data": "faces"}
    )
    for name in ("0_real", "1_fake"):
        (project.path / "faces" / name).mkdir(parents=True)
    for number in range(16):
        portrait = Image.fromarray(draw_portrait(number // 2)).resize((200, 200))
        portrait.save(project.path / "faces" / ("0_real", "1_fake")[number % 2] / f"{number // 2}.png")
    for stage in ("check", "split", "train_finetune"):
        project.run(sys.executable, "-m", f"stages.{stage}")
    folder = project.path / "models" / "finetune"
    assert json.loads((folder / "card.json").read_text())["pixels"] == "native"
    dataset = Dataset.open(project.path / "data" / "split")
    wanted = Predictor.load(folder, Compute(torch.device("cpu"), "fp32")).scores(dataset.pixels, np.arange(16))
    counts = json.loads((project.path / "reports/split/summary.json").read_text())["native_pixels"]
    assert counts["real"]["cropped"] == 8
    found = project.run("fakeface", "predict", "faces", "--model", "models/finetune", "--format", "csv").stdout
    got = {row["path"]: float(row["score"]) for row in csv.DictReader(found.splitlines()) if row["score"]}
    assert len(got) >= 14  # drawings in which no face is found have no score
    for path, score in zip(dataset.manifest["path"], wanted, strict=True):
        assert got.get(f"faces/{path}", score) == pytest.approx(score, abs=1e-5)
