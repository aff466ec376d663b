"""Checkpoints: bit-equal there and back, and refused when anything is not as the card says."""

import hashlib
import json
import os
import shutil
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from fakeface.core.errors import UserError
from fakeface.detector.checkpoints import Card, load, read_card, save
from fakeface.detector.networks import build

CARD = {
    "approach": "scratch",
    "network": "mynet",
    "image_size": 128,
    "crop_size": 96,
    "threshold": 0.5,
    "temperature": 1.5,
    "data_hash": "abc",
    "metrics": {"val_accuracy": 0.9},
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build("mynet", 96)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "models" / "scratch"
    save(folder, model, CARD)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy to damage."""
    return shutil.copytree(saved, tmp_path / "scratch")


def edit(folder, **changes):
    path = folder / "card.json"
    card = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in card.items() if value is not None}))


def refusal(folder, name):
    with pytest.raises(UserError) as caught:
        load(folder)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert str(folder / name) in message
    return message


def test_weights_come_back_bit_equal(saved, model):
    loaded, _ = load(saved)
    assert list(loaded.state_dict()) == list(model.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), model.state_dict().values(), strict=True)
    )
    assert not loaded.training


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0"])
def test_networks_with_buffers_come_back_with_the_same_logits(tmp_path, name):
    torch.manual_seed(1)
    network = build(name, 48)
    with torch.inference_mode():
        network.train()(torch.randn(4, 3, 48, 48))  # moves BatchNorm's statistics away from their start
        x = torch.randn(2, 3, 48, 48)
        save(tmp_path / "m", network, CARD | {"network": name, "crop_size": 48})
        assert torch.equal(load(tmp_path / "m")[0](x), network.eval()(x))


def test_card_says_how_to_use_it(saved):
    card = read_card(saved)
    assert load(saved)[1] == card
    assert CARD.items() <= card.items()
    assert card["classes"] == ["real", "fake"]
    assert card["score"].startswith("probability of fake (class 1)")
    assert card["mean"] == [0.485, 0.456, 0.406]
    assert card["std"] == [0.229, 0.224, 0.225]
    assert "128" in card["transform"]
    assert "96" in card["transform"]
    assert card["sha256"] == hashlib.sha256((saved / "model.safetensors").read_bytes()).hexdigest()


def test_folder_holds_two_files_and_nothing_temporary_stays(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["card.json", "model.safetensors"]
    assert [path.name for path in saved.parent.iterdir()] == ["scratch"]


def test_saving_twice_gives_the_same_bytes(saved, model, tmp_path):
    save(tmp_path / "a", model, CARD)
    save(tmp_path / "b", load(saved)[0].to(memory_format=torch.channels_last), CARD)
    for name in ("card.json", "model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (saved / name).read_bytes()
        assert (tmp_path / "b" / name).read_bytes() == (saved / name).read_bytes()


def test_saving_replaces_the_old_folder(folder, model):
    (folder / "old.txt").touch()
    save(folder, model, CARD | {"threshold": 0.25})
    assert read_card(folder)["threshold"] == 0.25
    assert not (folder / "old.txt").exists()


def test_error_while_saving_leaves_the_old_checkpoint(folder, model, monkeypatch):
    def full(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="no space"):
        save(folder, model, CARD | {"threshold": 0.1})
    assert load(folder)[1]["threshold"] == 0.5
    assert not list(folder.parent.glob("*.partial"))


def test_loading_moves_no_random_numbers(saved):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    load(saved)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", ["card.json", "model.safetensors", ""])
def test_missing_file_or_folder_is_named(folder, name):
    (folder / name).unlink() if name else shutil.rmtree(folder)
    assert "missing" in refusal(folder, name)


@pytest.mark.parametrize("place", [0, 100, 5000, -1])
def test_one_changed_byte_is_refused(folder, place):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert "sha256" in refusal(folder, "model.safetensors")


NO_SAFETENSORS = [
    b"",
    b"not safetensors",
    b"\xff" * 64,  # says that the header has 2**64 - 1 bytes
    struct.pack("<Q", 99_999_999) + b"{" * 100,
    struct.pack("<Q", 60) + b'{"a":{"dtype":"F32","shape":[9e9],"data_offsets":[0,4]}}'.ljust(60) + bytes(4),
    struct.pack("<Q", 80) + b'{"a":{"dtype":"F4","shape":[99999999999],"data_offsets":[0,4]}}'.ljust(80) + bytes(4),
    struct.pack("<Q", 200_000) + b'{"a":' * 40_000,
]


@pytest.mark.parametrize("content", NO_SAFETENSORS, ids=range(len(NO_SAFETENSORS)))
def test_file_that_is_no_safetensors_is_refused_even_with_its_hash(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    rehash(folder)
    refusal(folder, "model.safetensors")


def rehash(folder):
    edit(folder, sha256=hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest())


def test_card_of_another_network_is_refused(folder):
    edit(folder, network="efficientnet_lite0", mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5])
    refusal(folder, "model.safetensors")


def tampered(folder, change):
    """The weights changed by someone who also brought the card's hash up to date."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    rehash(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_refused_even_with_their_hash(folder, value):
    tampered(folder, lambda tensors: tensors["hidden.1.weight"][3, 5].fill_(value))
    assert "hidden.1.weight holds NaN or infinite values" in refusal(folder, "model.safetensors")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int32])
def test_weights_of_another_type_are_refused_even_with_their_hash(folder, dtype):
    tampered(folder, lambda tensors: tensors.update({"head.bias": tensors["head.bias"].to(dtype)}))
    assert "head.bias holds" in refusal(folder, "model.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.clear(),
        lambda tensors: tensors.update({"more": torch.zeros(2)}),
        lambda tensors: tensors.pop("head.bias"),
        lambda tensors: tensors.update({"head.bias": torch.zeros(3)}),
        lambda tensors: tensors.update({"head.weight": tensors["head.weight"].T.contiguous()}),
    ],
)
def test_a_tensor_too_many_too_few_or_of_another_shape_is_refused(folder, change):
    tampered(folder, change)
    assert "does not fit mynet" in refusal(folder, "model.safetensors")


REQUIRED = [key for key, field in Card.model_fields.items() if field.is_required()]
WRONG = {
    "format": [1, 3, "1"],
    "network": ["resnet50", 3],
    "image_size": [90, True],
    "crop_size": ["96", 96.0, 0, -5, 95, 10_000_000],
    "threshold": ["0.5", float("nan"), float("inf")],
    "temperature": [0.0, -1.0, float("nan"), float("inf")],
    "sha256": [5],
    "with_mirrored": [1],
    "score_crops": [2, "5"],
    "pixels": ["own"],
    "faces": [{}, {"share": 2.0}, {"share": 0.9}, {"share": 1.0, "side": 0.0, "x": 0.5, "y": 0.5}],
    "classes": [["fake", "real"]],
    "mean": [[0.5, 0.5, 0.5]],
    "std": ["none"],
    "threads": [10**9, 0, "2"],
    "seed": [-1, 2**40],
    "precision": ["fp8", 32],
}


@pytest.mark.parametrize(
    ("key", "value"), [*((key, None) for key in REQUIRED), *((key, v) for key, values in WRONG.items() for v in values)]
)
def test_card_without_a_key_or_with_a_wrong_value_is_refused(folder, key, value):
    edit(folder, **{key: value})
    message = refusal(folder, "card.json")
    assert key in message
    assert "dvc checkout" in message


def test_a_card_that_is_huge_or_deep_or_no_object_or_no_file_is_refused(folder):
    no_object = (b"", b"{", b"[]", b"null", b"3", b'"text"', b"\xff\xfe{}")
    for content in (b'{"a": "' + b"x" * 2_000_000 + b'"}', b"[" * 200_000, *no_object):
        (folder / "card.json").write_bytes(content)
        refusal(folder, "card.json")
    (folder / "card.json").unlink()
    os.mkfifo(folder / "card.json")  # and not waited for
    refusal(folder, "card.json")
