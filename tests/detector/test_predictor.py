"""The one way from pixels to a score: equal to a plain forward pass, whatever the batch and the order."""

import numpy as np
import pytest
import torch
from scipy.special import logit

from fakeface.core.errors import UserError
from fakeface.detector.checkpoints import load, save
from fakeface.detector.device import Compute
from fakeface.detector.networks import NETWORKS, build
from fakeface.detector.predictor import Predictor
from fakeface.detector.weights import build_pretrained

FP32 = Compute(torch.device("cpu"), "fp32")
SIZE, CROP = 104, 97
TEMPERATURE = 1.5
PIXELS = np.random.default_rng(0).integers(0, 256, (9, 3, SIZE, SIZE), dtype=np.uint8)
ROWS = np.arange(9)


def plain_input(mean, std):
    offset = round((SIZE - CROP) / 2)
    x = torch.from_numpy(PIXELS[:, :, offset : offset + CROP, offset : offset + CROP]).float() / 255
    return (x - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)


@pytest.fixture(scope="module", params=["mynet", "efficientnet_lite0"])
def folder(request, tmp_path_factory):
    torch.manual_seed(0)
    name = request.param
    model = build(name, CROP) if name == "mynet" else build_pretrained(name, "imagenet")
    head = model.get_submodule(NETWORKS[name].head)
    with torch.no_grad():  # a fresh head's scores are nearly equal: spread them around 0.5
        difference = model.eval()(plain_input(NETWORKS[name].mean, NETWORKS[name].std)).diff(dim=1)
        head.weight.div_(difference.std())
        head.bias.copy_(torch.tensor([0.0, 1.0]) * (head.bias.diff() - difference.mean()) / difference.std())
    path = tmp_path_factory.mktemp("models") / "scratch"
    card = {"approach": "scratch", "network": name, "image_size": SIZE, "crop_size": CROP}
    save(path, model, card | {"threshold": 0.5, "temperature": TEMPERATURE, "data_hash": "x"})
    return path


def scores(folder, rows=ROWS, batch_size=4, pixels=PIXELS, compute=FP32):
    return Predictor.load(folder, compute, batch_size).scores(pixels, rows)


def test_scores_are_those_of_a_plain_forward_pass(folder):
    model, card = load(folder)
    x = plain_input(card["mean"], card["std"])
    with torch.inference_mode():
        wanted = (model(x) / TEMPERATURE).softmax(1)[:, 1].numpy()
    got = scores(folder)
    assert got.dtype == np.float64
    assert np.ptp(got) > 0.3
    assert np.abs(got - wanted).max() < 1e-5


@pytest.mark.parametrize("batch_size", [1, 2, 5, 9, 100])
def test_scores_do_not_depend_on_the_batch_size(folder, batch_size):
    assert np.abs(scores(folder, batch_size=batch_size) - scores(folder)).max() < 1e-5


@pytest.mark.parametrize("rows", [[8, 0, 3], [5], [2, 2, 2], [8, 7, 6, 5, 4, 3, 2, 1, 0]])
def test_scores_belong_to_their_rows(folder, rows):
    assert np.abs(scores(folder, rows=np.array(rows)) - scores(folder)[rows]).max() < 1e-5


def test_same_call_gives_the_same_bits(folder):
    predictor = Predictor.load(folder, FP32, 4)
    assert np.array_equal(predictor.scores(PIXELS, ROWS), predictor.scores(PIXELS, ROWS))
    assert np.array_equal(predictor.scores(PIXELS, ROWS), scores(folder))


def test_bf16_stays_near_and_scores_are_not_coarse_steps(folder):
    got = scores(folder, compute=Compute(torch.device("cpu"), "bf16"))
    assert np.abs(got - scores(folder)).max() < 0.1
    assert len(set(got.tolist())) == len(got)


def test_with_mirrored_a_photo_and_its_mirror_image_have_one_score(folder, tmp_path):
    """The mean of the two logits, so of the differences between them."""
    model, card = load(folder)
    both = tmp_path / "both"
    save(both, model, card | {"with_mirrored": True})
    seen = slice(
        round((SIZE - CROP) / 2), round((SIZE - CROP) / 2) + CROP
    )  # the centre crop is not quite in the middle
    mirrored = PIXELS.copy()
    mirrored[..., seen] = PIXELS[..., seen][..., ::-1]
    one, other = scores(folder), scores(folder, pixels=mirrored)
    got = scores(both)
    assert np.abs(one - other).max() > 0.01
    assert np.abs(got - scores(both, pixels=mirrored)).max() < 1e-5
    assert np.abs(logit(got) - (logit(one) + logit(other)) / 2).max() < 1e-4


def test_with_five_crops_the_score_is_the_mean_over_centre_and_corners(folder, tmp_path):
    model, card = load(folder)
    save(tmp_path / "five", model, card | {"score_crops": 5})
    end, seen = SIZE - CROP, slice(round((SIZE - CROP) / 2), round((SIZE - CROP) / 2) + CROP)
    single = []
    for top, left in ((seen.start, seen.start), (0, 0), (0, end), (end, 0), (end, end)):
        moved = np.zeros_like(PIXELS)  # that crop in the centre
        moved[:, :, seen, seen] = PIXELS[:, :, top : top + CROP, left : left + CROP]
        single.append(logit(scores(folder, pixels=moved)))
    assert np.ptp(single, axis=0).max() > 0.01
    assert np.abs(logit(scores(tmp_path / "five")) - np.mean(single, axis=0)).max() < 1e-4


@pytest.mark.parametrize("size", [CROP, 128])
def test_store_of_another_size_is_refused(folder, size):
    with pytest.raises(UserError, match=f"{SIZE} pixels, the store has {size}") as caught:
        scores(folder, pixels=np.zeros((2, 3, size, size), np.uint8), rows=np.array([0]))
    assert len(str(caught.value).splitlines()) == 1
    assert "models/scratch" in str(caught.value)


def test_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere/card\.json: missing"):
        Predictor.load(tmp_path / "nowhere", FP32, 4)
