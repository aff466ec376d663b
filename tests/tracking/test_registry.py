"""The registered model: val and a margin decide, and promotion is never an accident."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import environment

from fakeface.core.errors import UserError
from fakeface.core.params import APPROACHES
from fakeface.detector.checkpoints import save
from fakeface.detector.networks import build
from fakeface.tracking import registry, store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Path:
    """A store without runs: making one takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    code = "from fakeface.tracking import store; store.set_environment(); store.open_store()"
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment(), check=True, timeout=120)
    return folder / "mlflow.db"


@pytest.fixture
def opened(fresh, tmp_path, monkeypatch):
    """Client and experiment of a store in the working folder."""
    (tmp_path / "mlflow.db").write_bytes(fresh.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    store.set_environment()
    client, _ = store.open_store()
    experiment = client.create_experiment("here", artifact_location=(tmp_path / "mlruns").as_uri())
    return client, experiment


def train(opened, data_hash="a" * 64, seed=0, drawings=None, guessing=False, **accuracies: float) -> dict[str, dict]:
    """Checkpoints with random weights and these val accuracies, each with its finished run."""
    client, experiment = opened
    torch.manual_seed(seed)
    cards = {}
    for approach in APPROACHES:
        metrics = {"val_accuracy": accuracies.get(approach, 0.5), "val_loss": 0.5}
        card = {"approach": approach, "network": "mynet", "image_size": 112, "crop_size": 96, "threshold": 0.5}
        card |= {"temperature": 1.0, "data_hash": data_hash, "seed": 0, "threads": 1, "precision": "fp32"}
        card |= ({} if drawings is None else {"drawings": drawings}) | ({"guessing": True} if guessing else {})
        save(f"models/{approach}", build("mynet", 96), card | {"metrics": metrics})
        cards[approach] = json.loads(Path("models", approach, "card.json").read_text())
        run = client.create_run(experiment, tags={"model_sha256": cards[approach]["sha256"]})
        client.set_terminated(run.info.run_id, "FINISHED")
    return cards


def best(opened, margin: float) -> str:
    models = {approach: Path("models", approach) for approach in APPROACHES}
    return registry.register_best(*opened, models, dict.fromkeys(APPROACHES, "md5"), margin)


def champion(client) -> str:
    return client.get_model_version_by_alias("fakeface", "champion").tags["model_sha256"]


def test_val_and_the_margin_decide(opened):
    client, _ = opened
    first = train(opened, scratch=0.8, finetune=0.9)
    assert "finetune, val accuracy 0.9000) is the new champion" in best(opened, 0.01)
    assert champion(client) == first["finetune"]["sha256"]
    assert json.loads(registry.KEPT.read_text())["model_sha256"] == first["finetune"]["sha256"]
    assert "is the champion" in best(opened, 0.01)
    assert len(client.search_model_versions("name = 'fakeface'")) == 1  # again makes no second version

    train(opened, seed=1, extractor=0.905)
    assert "does not beat the champion, version 1 (0.9000), by more than 0.01" in best(opened, 0.01)
    assert champion(client) == first["finetune"]["sha256"]
    third = train(opened, seed=2, scratch=0.92)
    assert "version 3 (scratch, val accuracy 0.9200) is the new champion" in best(opened, 0.01)
    assert champion(client) == third["scratch"]["sha256"]


def test_of_equal_accuracy_the_lower_loss_is_best_and_test_figures_do_not_count(opened):
    client, experiment = opened
    train(opened, scratch=0.9, extractor=0.9, finetune=0.8)
    card = json.loads(Path("models/extractor/card.json").read_text())
    card["metrics"] |= {"val_loss": 0.1}
    Path("models/extractor/card.json").write_text(json.dumps(card))
    for run in client.search_runs([experiment]):
        client.log_metric(run.info.run_id, "test/accuracy", 1.0 if "scratch" in run.info.run_name else 0.0)
    assert "(extractor" in best(opened, 0.0)


def test_other_val_images_are_not_compared_and_promotion_is_asked_for(opened):
    client, _ = opened
    first = train(opened, scratch=0.6)
    best(opened, 0.01)
    second = train(opened, data_hash="b" * 64, seed=1, scratch=0.99)
    assert "`fakeface promote 2`" in best(opened, 0.01)
    assert champion(client) == first["scratch"]["sha256"]
    registry.promote("2")
    assert champion(client) == second["scratch"]["sha256"]
    with pytest.raises(UserError, match=r"no version 7; it has 1, 2"):
        registry.promote("7")


@pytest.mark.parametrize("before", [True, False, None])
@pytest.mark.parametrize("after", [True, False, None])
def test_a_detector_of_photos_replaces_one_of_drawings_and_never_the_reverse(opened, before, after):
    """None: a card that does not say what it was trained on."""
    client, _ = opened
    first = train(opened, drawings=before, scratch=0.99)
    best(opened, 0.01)
    second = train(opened, data_hash="b" * 64, seed=1, drawings=after, scratch=0.6)
    said = best(opened, 0.01)
    replaced = before is True and after is False
    assert ("is the new champion: the one before, version 1, was trained on drawings" in said) == replaced
    assert ("was not compared" in said) != replaced
    assert champion(client) == (second if replaced else first)["scratch"]["sha256"]


@pytest.mark.parametrize(("before", "after"), [(True, False), (True, True), (False, True)])
def test_a_detector_that_guesses_gives_way_to_one_that_does_not(opened, before, after):
    client, _ = opened
    first = train(opened, guessing=before, scratch=0.9)
    best(opened, 0.01)
    second = train(opened, data_hash="b" * 64, seed=1, guessing=after, scratch=0.7)
    said = best(opened, 0.01)
    replaced = before and not after
    assert ("was no better than guessing" in said) == replaced
    assert champion(client) == (second if replaced else first)["scratch"]["sha256"]


def test_a_version_of_an_older_fakeface_learns_what_its_card_says_now(opened):
    client, _ = opened
    train(opened, scratch=0.9)
    best(opened, 0.01)
    train(opened, drawings=True, scratch=0.9)  # the same weights
    assert "version 1 (scratch, val accuracy 0.9000) is the champion" in best(opened, 0.01)
    assert client.get_model_version("fakeface", "1").tags["drawings"] == "True"
    with registry.fetched("models:/fakeface@champion") as folder:
        assert json.loads((folder / "card.json").read_text())["drawings"] is True
    train(opened, data_hash="b" * 64, seed=1, drawings=False, scratch=0.6)
    assert "is the new champion" in best(opened, 0.01)


def test_without_a_whole_run_nothing_is_registered(opened):
    client, experiment = opened
    train(opened, scratch=0.9)
    for run in client.search_runs([experiment]):
        client.update_run(run.info.run_id, status="FAILED")
    assert "no complete run" in best(opened, 0.0)
    with pytest.raises(UserError, match="none yet"):
        registry.promote("1")
