"""Which detector is opened: by approach, folder, registered version, or the best on val; all else is one clear line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import environment

from fakeface.core.errors import UserError
from fakeface.core.params import APPROACHES
from fakeface.detector.checkpoints import save
from fakeface.detector.networks import build
from fakeface.predict.detector import open_detector

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 3, 112, 112), dtype=np.uint8)


def train(folder: Path, seed: int, accuracy: float = 0.5, loss: float = 0.5) -> None:
    torch.manual_seed(seed)
    card = {"approach": folder.name, "network": "mynet", "image_size": 112, "crop_size": 96, "threshold": 0.5}
    card |= {"temperature": 1.0, "data_hash": "a" * 64, "seed": seed, "threads": 1, "precision": "fp32"}
    save(folder, build("mynet", 96), card | {"metrics": {"val_accuracy": accuracy, "val_loss": loss}})


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with models/ where extractor is the best by val: as accurate as finetune, with a lower loss."""
    monkeypatch.chdir(tmp_path)
    for seed, (name, accuracy, loss) in enumerate(
        [("scratch", 0.8, 0.1), ("extractor", 0.9, 0.2), ("finetune", 0.9, 0.3)]
    ):
        train(Path("models", name), seed, accuracy, loss)
    return tmp_path


def test_an_approach_a_folder_and_the_best_on_val(root):
    assert [open_detector(name).card["approach"] for name in APPROACHES] == list(APPROACHES)
    assert open_detector().card["approach"] == "extractor"
    assert open_detector(str(root / "models" / "scratch")).card["approach"] == "scratch"
    (root / "models" / "extractor").rename(root / "elsewhere")
    assert open_detector().card["approach"] == "finetune"
    assert open_detector("elsewhere").card["approach"] == "extractor"


def test_another_approach_never_answers_for_a_missing_one(root):
    (root / "models" / "extractor").rename(root / "elsewhere")
    open_detector()  # no project here that says what there should be
    (root / "params.yaml").touch()
    with pytest.raises(UserError, match=r"models/extractor: missing.*--model scratch"):
        open_detector()
    open_detector("scratch")


def test_it_computes_as_its_card_says(root):
    path = root / "models" / "scratch" / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"threads": 2, "precision": "bf16"}))
    try:
        assert open_detector("scratch").compute.precision == "bf16"
        assert torch.get_num_threads() == 2
        assert open_detector("extractor").compute.precision == "fp32"
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nope", ["nope: no such detector", "scratch, extractor, finetune", "models:/"]),
        ("models:/fakeface@champion", ["models:/fakeface@champion", "fakeface publish"]),
        ("empty", ["empty/card.json: missing", "dvc checkout"]),
        ("scratch", ["models/scratch: no such detector", "dvc checkout"]),
        ("no\nsuch", ["no such detector"]),
    ],
)
def test_what_is_no_detector_is_said_in_one_line(root, model, words):
    (root / "empty").mkdir()
    (root / "models/scratch").rename(root / "elsewhere")
    with pytest.raises(UserError) as caught:
        open_detector(model)
    assert all(word in str(caught.value) for word in words)
    assert len(str(caught.value).splitlines()) == 1
    assert not (root / "mlflow.db").exists()


def test_without_models_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no detector here.*dvc checkout.*dvc repro.*--model"):
        open_detector()


def test_a_detector_without_val_figures_is_none_to_choose(root):
    path = root / "models" / "scratch" / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"metrics": {}}))
    with pytest.raises(UserError, match=r"scratch/card\.json: has no val figures"):
        open_detector()


REGISTER = """
from fakeface.tracking import registry, store
store.set_environment()
client, experiment = store.open_store()
import json
digest = json.load(open("models/extractor/card.json"))["sha256"]
client.set_terminated(client.create_run(experiment, tags={"model_sha256": digest}).info.run_id, "FINISHED")
from pathlib import Path
registry.crown(client, registry.register(client, experiment, Path("models/extractor"), "md5"))
import mlflow.pyfunc
class Other(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[str], params=None) -> list[str]:
        return model_input
mlflow.pyfunc.save_model("other", python_model=Other(), pip_requirements=[])
client.create_registered_model("other")
client.create_model_version("other", "other")
"""


@pytest.mark.slow
def test_a_registered_version_is_the_same_detector(root, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    subprocess.run([sys.executable, "-c", REGISTER], cwd=root, env=environment(), check=True, timeout=180)
    wanted = open_detector("extractor").scores(PIXELS, np.arange(3))
    for uri in ("models:/fakeface@champion", "models:/fakeface/1"):
        found = open_detector(uri)
        assert found.card["approach"] == "extractor"
        assert np.array_equal(found.scores(PIXELS, np.arange(3)), wanted)
    for uri in ("models:/fakeface@nobody", "models:/fakeface/7", "models:/fakeface", "models:/", "models:/other/1"):
        with pytest.raises(UserError, match=uri) as caught:
            open_detector(uri)
        assert len(str(caught.value).splitlines()) == 1
