"""The ONNX file: the project's own scores from pixels, any batch, the same bytes again, nothing of this machine in it."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fakeface.core.errors import UserError, require_packages
from fakeface.detector import checkpoints
from fakeface.detector.device import Compute
from fakeface.detector.networks import NETWORKS, build
from fakeface.detector.predictor import Predictor
from fakeface.predict import export
from fakeface.predict.service import predict_table

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
FP32 = Compute(torch.device("cpu"), "fp32")
SIZE = 132
# vgg11 pools 3 x 3 fields to 7 x 7 here: no operator of ONNX does that; large files are for the long tests
CASES = [
    ("mynet", 97, True),
    ("resnet18", 96, False),
    ("efficientnet_lite0", 97, True),
    ("efficientnet_lite0", 97, True, 5),
    pytest.param(("vgg11", 96, False), marks=pytest.mark.exhaustive),
    pytest.param(("clip_vit_b16", 97, True), marks=pytest.mark.exhaustive),
]
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 3, SIZE, SIZE), dtype=np.uint8)


def detector(name: str, crop: int, with_mirrored: bool, score_crops: int = 1) -> Predictor:
    """Random weights; bias and temperature spread the scores of PIXELS over 0..1, so that a wrong crop or mirror would show."""
    torch.manual_seed(0)
    model = build(name, crop).eval()
    card = {
        "approach": "scratch", "network": name, "weights": "/home/someone/weights.pth", "image_size": SIZE,
        "crop_size": crop, "threshold": 0.4, "temperature": 1.0, "with_mirrored": with_mirrored,
        "score_crops": score_crops, "classes": ["real", "fake"],
    }  # fmt: skip
    predictor = Predictor(model, card, FP32, 2)
    scores = predictor.scores(PIXELS, np.arange(len(PIXELS)))
    difference = np.log(scores) - np.log1p(-scores)
    with torch.no_grad():
        predictor.model.get_submodule(NETWORKS[name].head).bias[1] -= difference.mean()
    card["temperature"] = float(difference.std())
    return predictor


@pytest.mark.parametrize("case", CASES)
def test_the_file_gives_the_scores_of_the_project_for_any_number_of_images(tmp_path, capfd, case):
    predictor = detector(*case)
    path = tmp_path / "detector.onnx"
    assert export.export_onnx(predictor, path) <= export.TOLERANCE
    expected = predictor.scores(PIXELS, np.arange(len(PIXELS)))
    assert np.ptp(expected) > 0.1
    session = export.session(path)
    for start, end in ((0, 1), (1, 5)):
        (scores,) = session.run(["score"], {"pixels": PIXELS[start:end]})
        assert scores.dtype == np.float32
        assert scores == pytest.approx(expected[start:end], abs=export.TOLERANCE)
    assert [file.name for file in tmp_path.iterdir()] == ["detector.onnx"]
    assert capfd.readouterr() == ("", "")


def test_the_cases_are_all_networks():
    assert {getattr(case, "values", [case])[0][0] for case in CASES} == set(NETWORKS)


def test_again_it_has_the_same_bytes_and_they_name_no_folder(tmp_path):
    predictor = detector("mynet", 96, True)
    before = {name: tensor.clone() for name, tensor in predictor.model.state_dict().items()}
    for name in ("a.onnx", "b.onnx"):
        export.export_onnx(predictor, tmp_path / name)
    data = (tmp_path / "a.onnx").read_bytes()
    assert data == (tmp_path / "b.onnx").read_bytes()
    for word in (b"export.py", b"/fakeface/", b"/home", bytes(tmp_path), bytes(Path(torch.__file__).parents[1])):
        assert word not in data
    assert all(torch.equal(tensor, before[name]) for name, tensor in predictor.model.state_dict().items())


def test_the_metadata_holds_the_card_and_the_threshold(tmp_path):
    predictor = detector("mynet", 96, False)
    export.export_onnx(predictor, tmp_path / "a.onnx")
    found = export.session(tmp_path / "a.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(found["card"]) == predictor.card | {"weights": "weights.pth"}
    assert float(found["threshold"]) == predictor.card["threshold"]
    assert f"uint8 [N, 3, {SIZE}, {SIZE}]" in found["preprocessing"]


def test_the_program_in_the_docs_gives_the_verdict_of_the_project(tmp_path, monkeypatch, capsys):
    predictor = detector("mynet", 96, True)
    export.export_onnx(predictor, tmp_path / "face.onnx")
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (7, 9, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image.resize((331, 207), Image.Resampling.BICUBIC).save(tmp_path / "photo.jpg", exif=exif)
    monkeypatch.chdir(tmp_path)
    program = (ROOT / "docs/use.md").read_text().split("```python\n")[1].split("```")[0]
    exec(program, {})  # noqa: S102
    verdict, score = capsys.readouterr().out.split()
    expected = predict_table(predictor, [Path("photo.jpg").read_bytes()]).iloc[0]
    assert verdict == expected["verdict"]
    assert float(score) == pytest.approx(expected["score"], abs=1e-5)


def test_the_command_writes_the_file_of_a_checkpoint_folder(tmp_path):
    predictor = detector("mynet", 96, False)
    checkpoints.save(tmp_path / "model", predictor.model, predictor.card | {"data_hash": "0", "precision": "fp32"})
    command = [Path(sys.executable).parent / "fakeface", "export", "--model", "model"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("scratch.onnx: 6.0 MB, checked")
    (scores,) = export.session(tmp_path / "scratch.onnx").run(None, {"pixels": PIXELS})
    assert scores == pytest.approx(predictor.scores(PIXELS, np.arange(len(PIXELS))), abs=1e-5)
    wrong = subprocess.run([*command, "--output", "x.pt"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (wrong.returncode, wrong.stderr) == (1, "error: x.pt: --output takes a file name that ends in .onnx\n")


def test_a_file_that_gives_other_scores_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    (tmp_path / "a.onnx").write_bytes(b"before")
    with pytest.raises(UserError, match="not written"):
        export.export_onnx(detector("mynet", 96, False), tmp_path / "a.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == b"before"


def test_a_place_where_nothing_can_be_written_is_said(tmp_path):
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(UserError, match=r"folder.onnx: cannot be written \(.+\); choose another --output"):
        export.export_onnx(detector("mynet", 96, False), tmp_path / "folder.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.onnx"]


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else found(name))
    with pytest.raises(UserError, match=r"needs onnxruntime: run `pip install 'fakeface\[export\]'`"):
        require_packages("export", "onnx", "onnxruntime")
