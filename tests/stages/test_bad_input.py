"""Bad input gives one clear line and exit code 1, and leaves nothing that a later run would take for whole."""

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

FRACTIONS = {"protocol": "fractions", "train": 0.5, "val": 0.25, "test": 0.25}


@pytest.fixture
def split(project, faces):
    """Runs the split stage by hand on the faces folder; returns its stderr's lines after checking the exit code."""
    project.set(split={"data": str(faces), **FRACTIONS})

    def run(expected_code=1, **changes):
        project.set(split=changes)
        result = project.run("python", "-m", "stages.split", check=False)
        assert result.returncode == expected_code, result.stderr
        assert "Traceback" not in result.stderr
        if expected_code:
            assert not (project.path / "data" / "split").exists()
            assert not (project.path / "reports" / "split" / "summary.json").exists()
            assert not list(project.path.rglob("*.partial"))
        return last_line(result.stderr)

    return run


def last_line(stderr: str) -> str:
    lines = [line for line in stderr.replace("\r", "\n").splitlines() if line.strip() and "image/s" not in line]
    lines = [line for line in lines if not line.startswith("decode:")]
    assert len(lines) <= 1, lines
    return lines[0] if lines else ""


def test_no_data_folder(split):
    assert "no_such_folder: no such data folder" in split(data="no_such_folder")


def test_more_images_asked_for_than_there_are(split):
    message = split(protocol="article")
    assert "has 12 images" in message
    assert "1999" in message


def test_a_bad_image_is_skipped_and_listed_when_asked(split, faces, project):
    (faces / "0_real" / "0003.jpg").write_bytes(b"")
    split(expected_code=0, on_bad_image="skip")
    listed = (project.path / "reports" / "split" / "skipped.csv").read_text()
    assert listed == "path,reason\n0_real/0003.jpg,is empty (0 bytes)\n"
    assert np.load(project.path / "data" / "split" / "pixels.npy").shape == (23, 3, 96, 96)


def test_an_earlier_split_survives_a_failed_one(split, faces, project):
    split(expected_code=0)
    before = (project.path / "data" / "split" / "manifest.csv").read_bytes()
    (faces / "0_real" / "0003.jpg").write_bytes(b"")
    result = project.run("python", "-m", "stages.split", check=False)
    assert result.returncode == 1
    assert (project.path / "data" / "split" / "manifest.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("section", "values", "words"),
    [
        ("train_finetune", {"lrr": 0.1}, ["train_finetune.lrr", "did you mean lr?"]),
        ("train_scratch", {"lr": "1e-3"}, ["train_scratch.lr", "0.001"]),
        ("base", {"threads": 0}, ["base.threads"]),
        ("split", {"group_by": "person"}, ["split.group_by", "photo"]),
    ],
)
def test_a_wrong_parameter_is_named_by_every_stage(project, section, values, words):
    project.set(**{section: values})
    for stage in ("sample", "split"):  # the two that start fastest
        result = project.run("python", "-m", f"stages.{stage}", check=False)
        assert result.returncode == 1
        assert len(result.stderr.strip().splitlines()) == 1
        for word in ["params.yaml", *words]:
            assert word in result.stderr


@pytest.mark.parametrize(
    ("section", "values"),
    [("train_finetune", {"epochs": 0}), ("train_finetune", {"weights": "missing.pth"}), ("base", {"device": "cuda"}),
     ("train_finetune", {"epoch": 1}), ("train_finetune", {"weights": "README.md"}),
     ("evaluate", {"extra_sets": {"a": "data/nope"}}), ("aligned", {"sources": {"a": "data/nope"}}),
     ("evaluate", {"leave_out": ["stargan"]}),
     ("aligned", {"autoencoder": "nope", "sources": {"a": "data/sample"}})],
)  # fmt: skip
def test_a_slip_in_the_parameters_costs_no_model(trainable, section, values, monkeypatch):
    """DVC removes a stage's outputs before it runs."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    lock = (trainable.path / "dvc.lock").read_bytes()
    for name in ("models/finetune/card.json", "data/split/manifest.csv"):
        (trainable.path / name).parent.mkdir(parents=True, exist_ok=True)
        (trainable.path / name).touch()
    trainable.set(**{section: values})
    result = trainable.run("dvc", "repro", "train_finetune", check=False)
    assert result.returncode
    assert f"params.yaml: {section}.{next(iter(values))}" in result.stderr
    assert (trainable.path / "models/finetune/card.json").exists()
    assert (trainable.path / "data/split/manifest.csv").exists()
    assert (trainable.path / "dvc.lock").read_bytes() == lock


def test_wrong_weights(project, faces):
    """A file that is missing, none, or of another network: named, with what to do."""
    project.set(split={"data": str(faces), **FRACTIONS})
    project.run("python", "-m", "stages.split")
    text = project.path / "weights.pth"
    text.write_text("nothing")
    save_file({"x": np.zeros(3, np.float32)}, project.path / "other.safetensors")
    for name, reason in (
        ("missing.pth", "no such weights file"),
        ("weights.pth", "state dict"),
        ("other.safetensors", "fit"),
    ):
        project.set(train_finetune={"weights": name})
        result = project.run("python", "-m", "stages.train_finetune", check=False)
        assert result.returncode == 1
        assert name in result.stderr
        assert reason in result.stderr
        assert "Traceback" not in result.stderr
        assert not (project.path / "models").exists()


def test_a_stage_without_its_inputs_says_what_to_run(project):
    for stage in ("features", "train_scratch", "evaluate"):
        result = project.run("python", "-m", f"stages.{stage}", check=False)
        assert result.returncode == 1
        assert "dvc repro" in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1


def test_images_of_a_size_are_decoded_as_they_are(split, faces, project):
    """The pixel store holds Pillow's pixels, row for row of the manifest."""
    split(expected_code=0)
    pixels = np.load(project.path / "data" / "split" / "pixels.npy")
    lines = (project.path / "data" / "split" / "manifest.csv").read_text().splitlines()[1:]
    assert len(lines) == len(pixels) == 24
    for row in (0, 13, 23):
        path = lines[row].split(",")[0]
        assert np.array_equal(pixels[row], np.asarray(Image.open(faces / path)).transpose(2, 0, 1))
