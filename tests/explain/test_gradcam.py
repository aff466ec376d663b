"""Heat maps: against finite differences, a network whose map is known by hand, and the place of every field."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from fakeface.detector.batches import PixelBatches
from fakeface.detector.calibration import scores_from_logits
from fakeface.detector.device import Compute
from fakeface.detector.networks import NETWORKS, build
from fakeface.detector.predictor import Predictor
from fakeface.explain import gradcam

FP32 = Compute(torch.device("cpu"), "fp32")
SIZE, TEMPERATURE = 132, 1.5
CROPS = {"mynet": 128, "vgg11": 96, "resnet18": 96, "efficientnet_lite0": 96, "clip_vit_b16": 96}
TOKENS = "clip_vit_b16"  # whose map is made of tokens
FIELDS = {"mynet": 4, "vgg11": 6, "resnet18": 3, "efficientnet_lite0": 3, "clip_vit_b16": 14}
PIXELS = np.random.default_rng(0).integers(0, 256, (11, 3, SIZE, SIZE), dtype=np.uint8)
ROWS = np.array([4, 0, 9, 1, 2, 3, 5, 6, 7, 10])  # more than a batch


@pytest.fixture(
    scope="module",
    params=[*(name for name in NETWORKS if name != TOKENS), pytest.param(TOKENS, marks=pytest.mark.slow)],
)
def predictor(request):
    torch.manual_seed(1)
    name = request.param
    card = {"network": name, "image_size": SIZE, "crop_size": CROPS[name], "temperature": TEMPERATURE}
    return Predictor(build(name, CROPS[name]).eval(), card, FP32, gradcam.BATCH)


def parts(predictor):
    name = predictor.card["network"]
    model = gradcam.unpooled(predictor.model, name)
    return name, model, model.get_submodule(gradcam.LAYERS[name].name)


def batch(predictor):
    crop, network = predictor.card["crop_size"], NETWORKS[predictor.card["network"]]
    batches = PixelBatches(PIXELS, None, ROWS, network, crop_size=crop, batch_size=3, device=FP32.device)
    return next(iter(batches.in_order()))[0]


def test_the_layer_is_the_last_map_of_the_convolutions_after_its_relu(predictor):
    name, model, layer = parts(predictor)
    if name == TOKENS:
        pytest.skip("a transformer has no such map")
    seen = []

    def note(module, inputs, output):
        seen.append((module, output.clone()))  # a ReLU may work in place

    handles = [module.register_forward_hook(note) for module in model.modules()]
    with torch.no_grad():
        model(batch(predictor))
    for handle in handles:
        handle.remove()
    modules = [module for module, _ in seen]
    convolutions = [k for k, module in enumerate(modules) if isinstance(module, nn.Conv2d)]
    place = modules.index(layer)
    assert convolutions[-1] <= place
    assert seen[place][1].shape[-2:] == seen[convolutions[-1]][1].shape[-2:] == (FIELDS[name],) * 2
    assert (seen[place][1] >= 0).all()
    assert (seen[convolutions[-1]][1] < 0).any()  # so a ReLU lies between


def test_the_opened_network_is_the_network(predictor):
    _, opened, _ = parts(predictor)
    before = [type(module) for module in predictor.model.modules()]
    with torch.no_grad():
        assert torch.equal(opened(batch(predictor)), predictor.model(batch(predictor)))
    assert [type(module) for module in predictor.model.modules()] == before
    assert {id(p) for p in opened.parameters()} == {id(p) for p in predictor.model.parameters()}


def moved(output, by):
    """A map [B, C, h, w], or the patches of tokens but not the class token, moved by [B, C]."""
    if output.dim() == 4:
        return output + by[:, :, None, None]
    return torch.cat([output[:, :1], output[:, 1:] + by[:, None]], 1)


@pytest.mark.parametrize(("i", "j"), [(0, 0), (1, 2)])
def test_a_field_is_the_slope_that_finite_differences_find(predictor, i, j):
    """How the answer moves when the mean of each channel grows in proportion to what the channel has in this field."""
    name, model, layer = parts(predictor)
    images = batch(predictor)

    def answer(step):
        handle = layer.register_forward_hook(
            lambda module, inputs, output: moved(output, step * gradcam.as_map(output)[:, :, i, j] / FIELDS[name] ** 2)
        )
        with torch.no_grad():
            logits = model(images)
        handle.remove()
        return logits[:, 1] - logits[:, 0]

    maps = gradcam.grad_cam(model, layer, images)
    slope = (answer(0.002) - answer(-0.002)) / 0.004  # small: ReLUs bend
    assert maps.abs().max() > 1e-6
    torch.testing.assert_close(maps[:, i, j], slope, atol=0.05 * maps.abs().max().item(), rtol=0)


def test_what_is_explained_is_what_scores(predictor):
    """The forward pass inside the explanation gives the predictor's scores; afterwards nothing has changed."""
    before = predictor.scores(PIXELS, ROWS)
    logits = []
    head = predictor.model.get_submodule(NETWORKS[predictor.card["network"]].head)
    handle = head.register_forward_hook(lambda module, inputs, output: logits.append(output.detach()))
    maps = gradcam.heat_maps(predictor, PIXELS, ROWS)
    handle.remove()
    assert scores_from_logits(torch.cat(logits).numpy(), TEMPERATURE) == pytest.approx(before, abs=1e-6)
    assert (predictor.scores(PIXELS, ROWS) == before).all()
    assert all(parameter.grad is None for parameter in predictor.model.parameters())
    assert maps.shape == (len(ROWS), CROPS[predictor.card["network"]], CROPS[predictor.card["network"]])
    assert maps.dtype == np.float32
    backwards = gradcam.heat_maps(predictor, PIXELS, ROWS[::-1])[::-1]
    assert np.abs(maps - backwards).max() < 1e-4 * np.abs(maps).max()


def test_a_frozen_network_has_the_same_map(predictor):
    _, model, layer = parts(predictor)
    images = batch(predictor)
    free = gradcam.grad_cam(model, layer, images)
    model.requires_grad_(False)
    try:
        assert torch.equal(gradcam.grad_cam(model, layer, images), free)
    finally:
        model.requires_grad_(True)


def test_where_a_mean_and_a_linear_layer_follow_the_map_adds_up_to_the_answer(predictor):
    name, model, layer = parts(predictor)
    if name not in ("resnet18", "efficientnet_lite0"):
        pytest.skip("its answer is not linear in its last map")
    images = batch(predictor)
    with torch.no_grad():
        difference = model(images).diff(dim=1)[:, 0]
    bias = model.get_submodule(NETWORKS[name].head).bias.detach()
    total = gradcam.grad_cam(model, layer, images).sum((1, 2)) + bias[1] - bias[0]
    torch.testing.assert_close(total, difference, atol=1e-4, rtol=1e-4)


def test_a_map_known_by_hand():
    """Red speaks for fake with weight 3, blue for real with weight 1; the mean over 2 x 2 fields makes quarters of both."""
    colours = nn.Conv2d(3, 2, 1, bias=False)
    linear = nn.Linear(2, 2)
    with torch.no_grad():
        colours.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 1]]).view(2, 3, 1, 1))
        linear.weight.copy_(torch.tensor([[-1.0, 0.5], [2, -0.5]]))  # of real, of fake
    model = nn.Sequential(colours, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)
    image = torch.zeros(1, 3, 2, 2)
    image[0, 0] = torch.tensor([[4.0, 0], [0, -4]])  # red; what is below 0 the ReLU takes away
    image[0, 2] = torch.tensor([[0.0, 8], [0, 0]])  # blue
    image[0, 1] = 100  # green, which the network does not look at
    wanted = torch.tensor([[[3.0, -2], [0, 0]]])
    assert torch.equal(gradcam.grad_cam(model, model[1], image), wanted)


def test_no_image_has_no_map(predictor):
    crop = predictor.card["crop_size"]
    assert gradcam.heat_maps(predictor, PIXELS, np.array([], dtype=np.int64)).shape == (0, crop, crop)


def test_crops_are_what_the_network_is_given(predictor):
    crop, network = predictor.card["crop_size"], NETWORKS[predictor.card["network"]]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (network.mean, network.std))
    crops = torch.from_numpy(gradcam.crops(PIXELS, ROWS, crop)[:3])
    torch.testing.assert_close((crops / 255 - mean) / std, batch(predictor), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("crop", [96, 128, 150])
def test_mynets_fields_lie_where_they_look(crop):
    """With mean pooling in place of the largest, every pixel that a field sees has a gradient: its middle is the field's."""
    torch.manual_seed(0)
    model = copy.deepcopy(gradcam.unpooled(build("mynet", crop), "mynet").features)
    layers = [nn.AvgPool2d(2) if isinstance(m, nn.MaxPool2d) else m for m in model if not isinstance(m, nn.ReLU)]
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)
    images = torch.zeros(1, 3, crop, crop, requires_grad=True)
    fields = nn.Sequential(*layers[:-1])(images)[0, 0]
    layer = gradcam.LAYERS["mynet"]
    for k in range(len(fields)):
        (seen,) = torch.autograd.grad(fields[k, 0], images, retain_graph=True)
        pixels = torch.nonzero(seen[0, 0].sum(1)).flatten()
        assert (pixels[0] + pixels[-1]).item() / 2 == layer.first + k * layer.step


def test_enlarging_keeps_the_middles_and_is_linear_between_them():
    fields = np.array([[[0.0, 4], [8, 12]]])
    big = gradcam.enlarge(fields, "resnet18", 8)  # two fields of four pixels: middles at 1.5 and 5.5
    assert big[0, 0].tolist() == [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]
    assert big[0, :, 0].tolist() == [0, 0, 1, 3, 5, 7, 8, 8]
    four = np.random.default_rng(0).normal(size=(2, 4, 4))
    big = gradcam.enlarge(four, "mynet", 128)
    for i in range(4):
        for j in range(4):
            around = big[:, 39 + 16 * i : 41 + 16 * i, 39 + 16 * j : 41 + 16 * j].mean((1, 2))
            # a middle lies between two pixels: half a pixel of 16 towards each neighbour
            assert around == pytest.approx(four[:, i, j], abs=0.1 * np.abs(four).max())
    assert big.min() >= four.min() - 1e-6
    assert big.max() <= four.max() + 1e-6
