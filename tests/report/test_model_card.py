"""The model card: the committed one is of the committed figures, and others say what they must."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from fakeface.core.errors import UserError
from fakeface.report.model_card import card_of, model_card

ROOT = Path(__file__).parents[2]
SECTIONS = [  # of Mitchell et al. 2019, in their order
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Evaluation data",
    "Training data",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
]


def reports() -> tuple:
    """Of the committed results: summary.json, figures.csv, robustness/metrics.json; models are not in git."""
    folder = ROOT / "reports"
    split, robustness = (
        json.loads((folder / name).read_text()) for name in ("split/summary.json", "robustness/metrics.json")
    )
    return split, pd.read_csv(folder / "evaluate/figures.csv"), robustness


@pytest.fixture
def card() -> dict:
    text = (ROOT / "docs/model_card.md").read_text()
    return json.loads(re.search(r"```json\n(.*)```", text, re.DOTALL).group(1))


def test_the_committed_card_is_that_of_the_committed_results(card):
    """`fakeface card > docs/model_card.md` writes it; here without the model's folder, which only DVC has."""
    assert (ROOT / "docs/model_card.md").read_text() == model_card(card, "data/sample", *reports())
    name = card["approach"]
    assert card["sha256"] == json.loads((ROOT / f"reports/cost/{name}.json").read_text())["model_sha256"]
    metrics = json.loads((ROOT / f"reports/train/{name}/metrics.json").read_text())
    assert metrics == card["metrics"] | {"model_sha256": card["sha256"]}


def test_the_committed_card_is_of_the_approach_that_val_chose(card):
    val = {path.parent.name: json.loads(path.read_text()) for path in (ROOT / "reports").glob("train/*/metrics.json")}
    of = {name: (m["val_accuracy"], -m["val_loss"]) for name, m in val.items() if "val_accuracy" in m}
    assert max(of, key=of.get) == card["approach"]


def test_every_section_of_the_paper_is_there(card):
    split, *rest = reports()
    for drawings in (True, False):
        found = re.findall(
            r"^## (.*)$", model_card(card | {"drawings": drawings}, "data/raw", split, *rest), re.MULTILINE
        )
        assert found == [*SECTIONS, "card.json"]


def test_false_alarms_are_those_of_the_interval_by_hand(card):
    split, figures, robustness = reports()
    mask = (figures["approach"] == card["approach"]) & (figures["figure"] == "accuracy_real_at_threshold")
    figures.loc[mask, ["value", "low", "high"]] = [0.95, 0.9, 0.98]
    text = model_card(card, "data/raw", split, figures, robustness)
    # 1000 pictures, 10 of them fake: one in ten of the 990 others
    assert "up to 10.0 % of the reals" in text
    assert "up to 99 of the reals would also be called fake" in text
    assert "| reals called real at the val threshold | 0.950 (0.900 to 0.980) |" in text
    figures.loc[mask, ["low", "high"]] = float("nan")
    assert "up to 5.0 % of the reals" in model_card(card, "data/raw", split, figures, robustness)


def test_of_own_data_it_asks_whose_faces_they_are_and_of_the_sample_it_forbids_photos(card):
    split, *rest = reports()
    own, sample = (model_card(card | {"drawings": drawn}, "data/raw", split, *rest) for drawn in (False, True))
    assert "To be filled in by whoever trained it" in own
    assert "drawn by code" not in own
    assert "Do not use this model on a photo of a person" in sample
    assert "To be filled in" not in sample


def test_what_is_no_better_than_guessing_is_called_so_first(card):
    split, figures, robustness = reports()
    assert "guessing" not in model_card(card, "data/raw", split, figures, robustness)
    text = model_card(card | {"guessing": True, "constant": "fake"}, "data/raw", split, figures, robustness)
    assert text.split("\n\n")[2].startswith(
        f"**On the validation set {card['approach']} is no better than guessing: it calls every image fake."
    )
    figures.loc[(figures["approach"] == card["approach"]) & (figures["figure"] == "roc_auc"), ["value", "low"]] = [
        0.6,
        0.48,
    ]
    text = model_card(card, "data/raw", split, figures, robustness)
    assert text.split("\n\n")[2].startswith(f"**{card['approach']} is no better than guessing here")


def test_a_leak_is_said(card):
    split, *rest = reports()
    assert "the figures are biased" in model_card(
        card, "data/raw", split | {"test_images_with_twin_in_train": 7}, *rest
    )
    assert "the figures are biased" not in model_card(card, "data/raw", split, *rest)


def test_what_is_missing_is_named(tmp_path, monkeypatch, card):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="nope: no such approach; allowed here: scratch"):
        card_of("nope", "data/raw")
    with pytest.raises(UserError, match=r"models/scratch/card.json: missing"):
        card_of(None, "data/raw")
    folder = tmp_path / "models" / card["approach"]
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match=r"reports/split/summary.json: is missing; run `dvc repro`"):
        card_of(card["approach"], "data/raw")
    for name in ("split/summary.json", "evaluate/figures.csv", "robustness/metrics.json"):
        (tmp_path / "reports" / name).parent.mkdir(parents=True)
        (tmp_path / "reports" / name).write_bytes((ROOT / "reports" / name).read_bytes())
    assert card_of(card["approach"], "data/sample") == (ROOT / "docs/model_card.md").read_text()
