"""`fakeface doctor`: each planted fault is found and has a remedy, a healthy project has none, and nothing is changed."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Project

from fakeface.cli.doctor import examine

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).parent / "fakeface"


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A healthy project and a healthy machine."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    autostage = true\n['remote \"storage\"']\n    url = /x\n")
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=8e9))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=50e9))
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    return tmp_path


def todo(root) -> dict[str, str]:
    """Name -> state and remedy of what must be done."""
    return {finding.name: f"{finding.state}; {finding.remedy}" for finding in examine(root) if finding.remedy}


def test_a_healthy_project_has_nothing_to_do_and_stays_as_it_is(root):
    def everything():
        return {path: path.read_bytes() if path.is_file() else None for path in root.rglob("*")}

    before = everything()
    findings = list(examine(root))
    assert [finding for finding in findings if finding.remedy] == []
    assert everything() == before
    names = [finding.name for finding in findings]
    for name in ("parameters", "cores", "memory", "disk", "dvc", "torch", "device", "precision"):
        assert names.count(name) == 1
    assert "storage" in {finding.name: finding.state for finding in findings}["dvc"]


def edit(path: str, old: str, new: str):
    def plant(root, monkeypatch):
        text = (root / path).read_text()
        assert old in text
        (root / path).write_text(text.replace(old, new))

    return plant


def remove(name: str):
    def plant(root, monkeypatch):
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return plant


FAULTS = {
    "no parameters": (remove("params.yaml"), "parameters", "no such file"),
    "a wrong parameter": (edit("params.yaml", "threads: 2", "threads: two"), "parameters", "base.threads"),
    "too many threads": (lambda r, m: m.setattr("os.sched_getaffinity", lambda p: {0}), "cores", "base.threads to 1"),
    "little memory": (
        lambda r, m: m.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1.9e9)),
        "memory",
        "1.9 GB free",
    ),
    "a full disk": (
        lambda r, m: m.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1e8)),
        "disk",
        "0.1 GB free",
    ),
    "no repository": (remove(".dvc"), "dvc", "project's root"),
    "a damaged configuration of DVC": (edit(".dvc/config", "[core]", "[core"), "dvc", "could not be checked"),
    "no torchvision": (lambda r, m: m.setitem(sys.modules, "torchvision", None), "torch", "requirements.lock"),
    "weights that are not there": (
        lambda r, m: Project(r).set(features={"weights": "gone.pth"}),
        "features.weights",
        "gone.pth",
    ),
}


@pytest.mark.parametrize(("plant", "name", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_a_planted_fault_is_found_alone_and_has_a_remedy(root, monkeypatch, plant, name, words):
    plant(root, monkeypatch)
    found = todo(root)
    assert list(found) == [name]
    assert words in found[name]


def test_a_torchvision_for_another_torch_is_found_though_it_can_be_imported(root, monkeypatch):
    import torch

    class Without:
        def __getattr__(self, name):
            raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(torch.ops, "torchvision", Without())
    assert "nms does not exist" in todo(root)["torch"]


def test_precision_and_device_that_this_machine_does_not_have(root, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("fakeface.detector.device.cpu_is_fast_in_bf16", lambda: False)
    Project(root).set(base={"precision": "bf16", "device": "cuda"})
    assert set(todo(root)) == {"precision", "device"}


def test_weights_that_would_be_downloaded_say_where_they_may_be_put(root, monkeypatch, tmp_path):
    Project(root).set(train_finetune={"network": "resnet18"})
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    remedy = todo(root)["train_finetune.weights"]
    assert str(tmp_path / "hub" / "checkpoints" / "resnet18-") in remedy
    assert "downloaded at first use" in remedy
    assert "efficientnet_lite0" in remedy


def test_an_autoencoder_that_would_be_downloaded_says_where_it_may_be_put(root, monkeypatch, tmp_path):
    Project(root).set(aligned={"sources": {"faces": "data/raw"}})
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    assert "aligned.autoencoder" not in todo(root)  # split.data names another folder
    Project(root).set(split={"data": "data/aligned/faces"})
    folder = tmp_path / "hub" / "checkpoints"
    assert f"taef2_encoder.pth and taef2_decoder.pth into {folder}" in todo(root)["aligned.autoencoder"]
    folder.mkdir(parents=True)
    for name in ("taef2_encoder.pth", "taef2_decoder.pth"):
        (folder / name).touch()
    assert "aligned.autoencoder" not in todo(root)


def test_clips_weights_need_timm_and_a_first_download(root, monkeypatch):
    Project(root).set(features={"network": "clip_vit_b16", "weights": "openai"})
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, name: None)
    assert "without internet set features.weights to" in todo(root)["features.weights"]
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, name: f"/cache/{name}")
    assert not todo(root)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "timm" else found(name))
    assert "pip install 'fakeface[clip]'" in todo(root)["features.weights"]


def test_where_dvc_is_not_on_the_path_its_queue_needs_the_environment(root, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    state = {finding.name: finding.state for finding in examine(root)}["dvc"]
    assert "before `dvc queue start`: `. .venv/bin/activate`" in state


@pytest.mark.slow
def test_the_command_prints_a_line_each_and_exits_1_when_something_is_to_do(tmp_path):
    result = subprocess.run([COMMAND, "doctor"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert all(line.startswith(("ok     ", "to do  ")) for line in lines)
    assert sum(line.startswith("to do  ") for line in lines) >= 2  # no parameters and no repository here
    assert list(tmp_path.iterdir()) == []
