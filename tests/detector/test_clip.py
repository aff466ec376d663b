"""CLIP ViT-B/16 as a backbone: timm's numbers, what of it is trained, weights that fit and what is said where they do not."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from conftest import environment
from safetensors.torch import save_file
from torch import nn

from fakeface.core.errors import UserError
from fakeface.core.load import check_machine, load_params
from fakeface.core.params import TrainFinetune
from fakeface.detector import checkpoints
from fakeface.detector.batches import PixelBatches
from fakeface.detector.device import Compute
from fakeface.detector.networks import NETWORKS, build, normalise
from fakeface.detector.predictor import Predictor
from fakeface.detector.weights import backbone, build_pretrained, tune
from fakeface.training.loop import fit
from fakeface.training.resume import ResumeFile

CLIP = "clip_vit_b16"
CPU = torch.device("cpu")
TIMM = "vit_base_patch16_clip_quickgelu_224"
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 3, 96, 96), dtype=np.uint8)


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    return timm.create_model(TIMM, num_classes=512).eval()


@pytest.fixture(scope="module")
def weights(theirs, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "clip.safetensors"
    save_file(theirs.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def ours(weights):
    torch.manual_seed(0)
    return build_pretrained(CLIP, str(weights)).eval()


@pytest.mark.parametrize("side", [224, 96])
def test_features_are_class_token_and_mean_patch_of_timms_blocks(weights, theirs, side):
    images, seen = torch.randn(2, 3, side, side), []
    large = nn.functional.interpolate(images, 224, mode="bilinear", antialias=True)
    hooks = [theirs.blocks[i].register_forward_hook(lambda *call: seen.append(call[2])) for i in (2, 5, 8, 11)]
    with torch.inference_mode():
        theirs.forward_features(large)
        got = backbone(CLIP, str(weights))(images).view(2, 8, 768)
    for hook in hooks:
        hook.remove()
    for i, tokens in enumerate(seen):
        for part, raw in enumerate((tokens[:, 0], tokens[:, 1:].mean(1))):
            wanted = (raw - raw.mean(1, keepdim=True)) / (raw.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
            torch.testing.assert_close(got[:, 2 * i + part], wanted, atol=1e-3, rtol=1e-3)


def test_normalisation_is_openais():
    config = timm.get_pretrained_cfg(f"{TIMM}.openai")
    assert (NETWORKS[CLIP].mean, NETWORKS[CLIP].std) == (config.mean, config.std)


def test_checkpoint_comes_back_with_its_scores_and_says_what_it_does(ours, tmp_path):
    facts = {"approach": "finetune", "network": CLIP, "image_size": 96, "crop_size": 96, "data_hash": "x"}
    checkpoints.save(tmp_path / "m", ours, facts | {"threshold": 0.5, "temperature": 1.0})
    card = checkpoints.read_card(tmp_path / "m")
    assert card["mean"] == list(NETWORKS[CLIP].mean)
    assert card["transform"].endswith("centre crop 96, resize to 224 (antialiased bilinear)")
    images = normalise(torch.from_numpy(PIXELS), NETWORKS[CLIP])
    predictor, rows = Predictor.load(tmp_path / "m", Compute(CPU, "bf16"), 4), np.arange(4)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        difference = ours(images).diff(dim=1)[:, 0]
    assert predictor.scores(PIXELS, rows) == pytest.approx(difference.sigmoid().numpy(), abs=1e-6)
    assert predictor.model.blocks[0].attn.qkv.weight.dtype == torch.float32  # what export and heat maps compute with


def section(**changes):
    values = load_params().train_finetune.model_dump() | {"epochs": 2, "batch_size": 2, "network": CLIP}
    return TrainFinetune(**(values | changes))


def batches(name):
    labels, size = np.array([0, 1, 0, 1]), {"crop_size": 96, "batch_size": 2}
    return PixelBatches(PIXELS, labels, np.arange(4), NETWORKS[name], device=CPU, augment="crop", **size)


def trained(model, name, **options):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fit(model, batches(name), batches(name), section(keep="last"), Compute(CPU, "fp32"), **options)
    return {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}


@pytest.mark.parametrize(
    ("name", "part", "wanted"),
    [
        ("resnet18", "norm", lambda key: "bn" in key or "downsample.1" in key or key.startswith("fc")),
        ("resnet18", "head", lambda key: key.startswith("fc")),  # and no statistics of BatchNorm
        ("efficientnet_lite0", "all", lambda key: True),
        pytest.param(CLIP, "norm", lambda key: "norm" in key or key.startswith("head"), marks=pytest.mark.slow),
    ],
)
def test_tune_trains_its_part_and_nothing_else(name, part, wanted):
    torch.manual_seed(0)
    model = tune(build(name, 96), name, part)
    trainable = {key for key, value in model.named_parameters() if value.requires_grad}
    assert trainable == {key for key, _ in model.named_parameters() if wanted(key)}
    assert trained(model, name) == {key for key in model.state_dict() if wanted(key)}
    assert {key for key, value in model.named_parameters() if value.grad is not None} <= trainable


class Killed(Exception):
    pass


@pytest.mark.slow
def test_an_interrupted_training_of_the_norms_ends_with_the_same_weights(ours, tmp_path):
    start = {key: value.clone() for key, value in ours.state_dict().items()}

    def run(name, on_epoch):
        ours.load_state_dict(start)
        tune(ours, CLIP, "norm")
        trained(ours, CLIP, on_epoch=on_epoch, resume=ResumeFile(tmp_path, "finetune", name))
        return {key: value.clone() for key, value in ours.state_dict().items()}

    def kill(row):
        raise Killed

    whole = run("whole", lambda row: None)
    with pytest.raises(Killed):
        run("killed", kill)
    seen = []
    again = run("killed", lambda row: seen.append(row["epoch"]))
    assert seen == [1, 2]
    assert all(torch.equal(value, again[key]) for key, value in whole.items())
    ours.load_state_dict(start)
    ours.requires_grad_(True)


def refused(path):
    with pytest.raises(UserError) as caught:
        build_pretrained(CLIP, str(path))
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_state_dict_that_does_not_fit_is_refused(theirs, tmp_path):
    state = theirs.state_dict()
    for changed, word in (
        ({key: value for key, value in state.items() if key != "norm_pre.weight"}, "norm_pre.weight"),
        (state | {"another": torch.zeros(1)}, "another"),
        (state | {"pos_embed": torch.zeros(1, 10, 768)}, "pos_embed"),
    ):
        save_file(changed, tmp_path / "w.safetensors")
        assert word in refused(tmp_path / "w.safetensors")


def test_no_network_is_one_line(monkeypatch):
    def unreachable(*args, **kwargs):
        raise OSError("no route\nto host")

    monkeypatch.setattr("fakeface.detector.backbones.clip.create_model", unreachable)
    message = refused("openai")
    assert CLIP in message
    assert "no route to host" in message
    assert "weights in params.yaml" in message


def test_without_timm_the_check_and_the_network_say_what_to_install():
    code = f"""
import sys, importlib.machinery
sys.modules["timm"] = None
import fakeface.core.load as load
from fakeface.core.errors import UserError
from fakeface.detector.networks import build
from fakeface.detector.weights import build_pretrained, tune
build("efficientnet_lite0", 96), build("resnet18", 96)
load.find_spec = lambda name: None
params = load.load_params()
features = params.features.model_copy(update={{"network": "{CLIP}", "weights": "none"}})
for what in (lambda: build("{CLIP}", 96), lambda: build_pretrained("{CLIP}", "openai"),
             lambda: load.check_machine(params.model_copy(update={{"features": features}}))):
    try:
        what()
    except UserError as error:
        print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=100
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 3
    assert all("timm" in line and "pip install 'fakeface[clip]'" in line for line in lines)


def test_with_timm_the_check_passes():
    params = load_params()
    features = params.features.model_copy(update={"network": CLIP, "weights": "openai"})
    check_machine(params.model_copy(update={"features": features}))


ROUNDED = Path(os.environ.get("FAKEFACE_DATA", "/nowhere")).parent / "weights"


@pytest.mark.skipif(not (ROUNDED / "expand_clip.py").is_file(), reason="no rounded CLIP weights beside FAKEFACE_DATA")
def test_rounded_clip_weights_fit(tmp_path):
    path = tmp_path / "clip.safetensors"
    subprocess.run([sys.executable, str(ROUNDED / "expand_clip.py"), str(path)], check=True, timeout=100)
    model = backbone(CLIP, str(path))
    grey = torch.full((1, 3, 224, 224), 127.0)
    with torch.inference_mode():
        features = model(normalise(grey, NETWORKS[CLIP]))
    assert features.shape == (1, 6144)
    assert 0.1 < features.std().item() < 3
