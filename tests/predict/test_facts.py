"""What the page says of a detector: figures of this very model, or none."""

import json

import pandas as pd
import pytest
from ruamel.yaml import YAML

from fakeface.predict.facts import DRAWINGS, GUESSING, OTHER_DATA, facts

CARD = {
    "approach": "scratch",
    "network": "mynet",
    "crop_size": 96,
    "image_size": 128,
    "data_hash": "abc",
    "sha256": "f00",
}


@pytest.fixture
def root(tmp_path):
    """A project after its run, as far as the page looks: 40 real and 60 fake test images, of which 4 and 3 are wrong."""
    for name in ("split", "evaluate"):
        (tmp_path / "reports" / name).mkdir(parents=True)
    counts = {"train": {"real": 70, "fake": 80}, "val": {"real": 9, "fake": 9}, "test": {"real": 40, "fake": 60}}
    (tmp_path / "reports/split/summary.json").write_text(json.dumps(counts | {"data_hash": "abc"}))
    values = {
        "accuracy": 0.93, "accuracy_real": 0.9, "accuracy_at_threshold": 0.93, "accuracy_real_at_threshold": 0.9,
        "accuracy_fake_at_threshold": 0.95,
    }  # fmt: skip
    rows = [
        {"approach": "scratch", "figure": k, "value": v, "low": v - 0.05, "high": v + 0.02} for k, v in values.items()
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "reports/evaluate/figures.csv", index=False)
    metrics = {"scratch": {"model_sha256": CARD["sha256"]}}
    (tmp_path / "reports/evaluate/metrics.json").write_text(json.dumps(metrics))
    stages = {"split": {"params": {"params.yaml": {"split": {"data": "data/raw", "group_by": "photo"}}}}}
    YAML().dump({"schema": "2.0", "stages": stages}, tmp_path / "dvc.lock")
    return tmp_path


def test_of_this_very_model_all_is_said(root):
    found = facts(CARD, root)
    assert found.short == "Judged by scratch, which classified 93.0 % of 100 test pictures correctly."
    assert "70 real and 80 computer-made pictures from data/raw." in found.trained
    assert "93.0 % correctly (95 % interval 88.0 to 95.0 %)" in found.errors[0]
    assert found.errors[1] == "It called 4 of 40 real pictures fake and 3 of 60 fake ones real."
    assert found.warning == ""


def test_what_it_sees_of_a_photo_is_said(root):
    assert "sees the middle 96 x 96 pixels of a photo scaled to 128." in facts(CARD, root).trained
    own = "of 128 x 128 cut from a larger photo around the face, without scaling."
    assert own in facts(CARD | {"pixels": "native"}, root).trained
    assert "sees the middle and the four corners, each 96 x 96 pixels" in facts(CARD | {"score_crops": 5}, root).trained


def test_a_detector_that_guesses_is_called_so_wherever_it_stands(root, tmp_path):
    for folder in (root, tmp_path / "nowhere"):
        assert facts(CARD | {"guessing": True}, folder).warning == GUESSING


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("evaluate/metrics.json", "f00", "bad"),
        ("evaluate/metrics.json", "model_sha256", "sha256"),
        ("evaluate/figures.csv", "accuracy_real_at_threshold", "other"),
    ],
)
def test_figures_of_another_model_are_not_said(root, file, old, new):
    path = root / "reports" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    found = facts(CARD, root)
    assert found.errors == []
    assert "70 real" in found.trained


def test_another_checkpoint_of_the_same_split_has_no_figures_here(root):
    assert facts(CARD | {"sha256": "bad"}, root).errors == []


def test_of_another_split_not_even_the_training_images_are_said(root):
    found = facts(CARD | {"data_hash": "other"}, root)
    assert found.trained.endswith("Which pictures it was trained on is not known here.")


@pytest.mark.parametrize("data_hash", ["abc", "other"])
def test_a_detector_of_drawings_is_warned_of_wherever_it_stands(root, tmp_path, data_hash):
    """After split.data changed, in another folder: its card says it. Of a card without the key nothing is claimed."""
    drawn = CARD | {"drawings": True, "data_hash": data_hash}
    for folder in (root, tmp_path / "nowhere"):
        found = facts(drawn, folder)
        assert found.warning == DRAWINGS
        assert "drawings made by code" in found.trained
        for card in (drawn | {"drawings": False}, CARD | {"data_hash": data_hash}):
            assert facts(card, folder).warning == ""
            assert "drawings" not in facts(card, folder).trained
    assert facts(drawn | {"guessing": True}, root).warning == f"{GUESSING} {DRAWINGS}"
    assert facts(drawn, root).note == (OTHER_DATA if data_hash == "other" else "")
    assert facts(drawn, tmp_path / "nowhere").note == ""


@pytest.mark.parametrize("damage", [None, "", "<<<<<<< HEAD\n", "stages: [1]", "stages: {split: 3}", "\x00"])
def test_whatever_the_lock_holds_the_page_opens(root, damage):
    (root / "dvc.lock").unlink()
    if damage is not None:
        (root / "dvc.lock").write_text(damage)
    assert "not known here" in facts(CARD, root).trained
