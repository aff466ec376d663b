"""The training loop: it learns, repeats bit by bit, keeps the epoch asked for, and computes what the article says."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from sklearn.utils.class_weight import compute_sample_weight
from torch import nn

from fakeface.core.params import Training
from fakeface.detector.batches import FeatureBatches, PixelBatches
from fakeface.detector.device import Compute
from fakeface.detector.networks import NETWORKS, Head, build, replace_head
from fakeface.detector.predictor import Views, logits_of
from fakeface.detector.weights import backbone
from fakeface.training.loop import NotFinite, fit, merit
from fakeface.training.optimizers import make_optimizer, make_schedule

CPU = torch.device("cpu")
FP32 = Compute(CPU, "fp32")
DEFAULTS = {
    "epochs": 5,
    "batch_size": 8,
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "schedule": "constant",
    "step_size": 7,
    "gamma": 0.1,
    "keep": "best",
    "balance": "class",
    "patience": 0,
}


def section(**changes):
    return Training(**(DEFAULTS | changes))


def blobs(n=64, swapped=False, seed=0, batch_size=8):
    """Two classes a line can part; `swapped`: with the labels exchanged."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    x = rng.normal(0, 1, (1, n, 4)).astype(np.float32)
    x[0, :, 0] += 6 * labels - 3
    return FeatureBatches(x, 1 - labels if swapped else labels, batch_size=batch_size, device=CPU)


def pixel_batches(pixels, labels, crop=96, batch_size=4, augment="crop", network="mynet"):
    size = {"crop_size": crop, "batch_size": batch_size}
    return PixelBatches(pixels, labels, np.arange(len(pixels)), NETWORKS[network], device=CPU, augment=augment, **size)


def linear(seed=0):
    torch.manual_seed(seed)
    return nn.Linear(4, 2)


def test_separable_classes_are_learnt():
    result = fit(linear(), blobs(), blobs(seed=1), section(), FP32)
    assert result.history[-1]["val_accuracy"] > 0.95
    assert result.history[-1]["train_accuracy"] > 0.95
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]


def test_pixels_are_learnt_by_the_articles_network():
    """Bright against dark at 96 pixels: the whole way from uint8 to accuracy."""
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 2
    pixels = np.clip(rng.normal(90, 20, (24, 3, 96, 96)) + 70 * labels[:, None, None, None], 0, 255).astype(np.uint8)
    batches = pixel_batches(pixels, labels, batch_size=8)
    torch.manual_seed(0)
    result = fit(build("mynet", 96), batches, batches, section(optimizer="adamw", lr=0.001, epochs=4), FP32)
    assert result.history[-1]["val_accuracy"] == 1.0


@pytest.mark.parametrize(("optimizer", "schedule"), [("sgd", "step"), ("adamw", "onecycle")])
def test_two_fits_are_bit_identical(optimizer, schedule):
    runs = []
    for noise in (1, 2):
        model = linear()
        torch.manual_seed(noise)  # the global generator must not matter once the model is built
        result = fit(model, blobs(), blobs(seed=1), section(optimizer=optimizer, schedule=schedule, lr=0.01), FP32)
        runs.append((result, model))
    (first, a), (second, b) = runs
    assert first.history == second.history
    assert torch.equal(first.best_logits, second.best_logits)
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_gradients_that_a_caller_left_do_not_matter():
    fresh, used = linear(), linear()
    nn.functional.cross_entropy(used(torch.ones(2, 4)), torch.tensor([0, 1])).backward()
    for model in (fresh, used):
        fit(model, blobs(), blobs(seed=1), section(epochs=1), FP32)
    assert torch.equal(fresh.weight, used.weight)


def test_history_has_a_row_an_epoch_and_is_told_at_once():
    told = []
    result = fit(linear(), blobs(), blobs(seed=1), section(), FP32, on_epoch=told.append)
    assert told == result.history
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4, 5]
    names = ["epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]
    assert all(list(row) == names for row in result.history)


def test_val_may_be_scored_with_mirror_images():
    """A training that sees them only in validation: same weights, other logits, and figures that are those logits'."""
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (8, 3, 96, 96), dtype=np.uint8), np.arange(8) % 2
    results = []
    for views in (Views(), Views(96, mirrored=True)):
        batches = pixel_batches(pixels, labels, augment="none")
        torch.manual_seed(0)
        model = build("mynet", 96)
        fitted = fit(model, batches, batches, section(epochs=1, lr=0.001), FP32, views=views)
        assert torch.equal(fitted.best_logits, logits_of(model, batches, FP32, views)[0])
        loss = nn.functional.cross_entropy(fitted.best_logits, torch.from_numpy(labels)).item()
        assert fitted.history[0]["val_loss"] == pytest.approx(loss, abs=2e-6)
        results.append((model.state_dict(), fitted.best_logits))
    (plain, one), (both, other) = results
    assert all(torch.equal(value, both[name]) for name, value in plain.items())
    assert not torch.equal(one, other)


@pytest.mark.parametrize(("n", "n_val"), [(28, 14), (27, 13)])
def test_figures_of_the_first_epoch_are_means_in_which_both_classes_count_alike(n, n_val):
    """lr is next to nothing, so each batch sees the first weights; the last batch is smaller than the others."""
    model, train, val = linear(), blobs(n=n), blobs(n=n_val, seed=1)
    row = fit(model, train, val, section(lr=1e-12, epochs=1), FP32).history[0]
    for name, of in (("train", train), ("val", val)):
        logits, y = model(torch.from_numpy(of.views[0])), of.labels
        losses = nn.functional.cross_entropy(logits, y, reduction="none").detach().numpy()
        weights = compute_sample_weight("balanced", y)  # all 1 for as many of each
        assert row[f"{name}_loss"] == pytest.approx((losses * weights).mean(), abs=2e-6)
        assert row[f"{name}_accuracy"] == pytest.approx((logits.argmax(1) == y).float().mean().item(), abs=1e-6)
    balanced = balanced_accuracy_score(val.labels, logits.argmax(1))
    assert row.get("val_balanced_accuracy") == (None if n_val == 14 else pytest.approx(balanced, abs=1e-6))


def test_kinds_of_fakes_count_alike_within_their_class():
    """12 reals, 20 fakes of one generator and 4 of another, in batches of 8, at last of 4; val has 6, 20 and 2."""
    rng, kinds = np.random.default_rng(0), np.repeat([0, 1, 2], [12, 20, 4])
    x = rng.normal(kinds[:, None] - 1, 1, (1, 36, 4)).astype(np.float32)
    train = FeatureBatches(x, kinds, batch_size=8, device=CPU)
    val = FeatureBatches(
        x[:, 6:34], np.where(kinds == 2, 3, kinds * 2)[6:34], batch_size=8, device=CPU
    )  # there is no kind 1
    model = linear()
    row = fit(model, train, val, section(lr=1e-12, epochs=1), FP32).history[0]
    for name, of in (("train", train), ("val", val)):
        logits, truth = model(torch.from_numpy(of.views[0])), of.labels.clamp(max=1)
        losses = nn.functional.cross_entropy(logits, truth, reduction="none").detach()
        alike = [losses[of.labels == kind].mean().item() for kind in of.labels.unique()]
        assert row[f"{name}_loss"] == pytest.approx((alike[0] + np.mean(alike[1:])) / 2, abs=2e-6)
        right = (logits.argmax(1) == truth).float()
        assert row[f"{name}_accuracy"] == pytest.approx(right.mean().item(), abs=1e-6)
    recalls = [right[val.labels == kind].mean().item() for kind in val.labels.unique()]
    assert row["val_generator_accuracy"] == pytest.approx((recalls[0] + np.mean(recalls[1:])) / 2, abs=1e-6)
    balanced = balanced_accuracy_score(val.labels.clamp(max=1), logits.argmax(1))
    assert row["val_balanced_accuracy"] == pytest.approx(balanced, abs=1e-6)
    assert merit(row | {"val_generator_accuracy": 0.7, "val_balanced_accuracy": 0.6})[0] == 0.7


def test_a_generator_with_few_images_is_not_drowned():
    """300 fakes of one generator and 12 of another, each with a trace of its own."""
    rng, kinds = np.random.default_rng(0), np.repeat([0, 1, 2], [312, 300, 12])
    x = rng.normal(0, 1, (1, 624, 4)).astype(np.float32)
    x[0, kinds == 1, 0] += 2
    x[0, kinds == 2, 1] += 2

    def recall_of_few(labels):
        model, batches = linear(), FeatureBatches(x, labels, batch_size=16, device=CPU)
        result = fit(model, batches, batches, section(lr=0.02, epochs=4, keep="last"), FP32)
        return (result.best_logits.argmax(1).numpy()[kinds == 2] == 1).mean()

    assert recall_of_few(np.minimum(kinds, 1)) < 0.3
    assert recall_of_few(kinds) > 0.6


def test_ten_fakes_to_a_real_do_not_make_everything_fake():
    """Classes that overlap, where fake for all is right ten times of eleven; the epoch kept is the best by balanced accuracy."""
    rng = np.random.default_rng(0)
    labels = (np.arange(660) % 11 > 0).astype(np.int64)
    x = rng.normal(0, 1, (1, 660, 4)).astype(np.float32)
    x[0, :, 0] += labels
    batches = FeatureBatches(x, labels, batch_size=16, device=CPU)
    model = linear()
    result = fit(model, batches, batches, section(lr=0.02, epochs=6), FP32)
    recalls = [(result.best_logits.argmax(1).numpy()[labels == c] == c).mean() for c in (0, 1)]
    assert min(recalls) > 0.5
    balanced = [row["val_balanced_accuracy"] for row in result.history]
    assert result.history[result.best_epoch - 1]["val_balanced_accuracy"] == max(balanced)
    plain = [row["val_accuracy"] for row in result.history]
    assert plain.index(max(plain)) + 1 != result.best_epoch


def test_best_epoch_is_kept_and_the_last_when_asked():
    """Val carries the other labels: every epoch makes it worse."""
    kept = {}
    for keep in ("best", "last"):
        model = linear()
        val = blobs(seed=1, swapped=True)
        result = fit(model, blobs(), val, section(keep=keep, lr=0.01), FP32)
        losses = [row["val_loss"] for row in result.history]
        assert losses == sorted(losses)
        assert torch.equal(logits_of(model, val, FP32)[0], result.best_logits)
        kept[keep] = result
    assert kept["best"].best_epoch < kept["last"].best_epoch == 5
    assert kept["best"].history == kept["last"].history
    row = kept["best"].history[kept["best"].best_epoch - 1]
    assert row["val_accuracy"] == max(row["val_accuracy"] for row in kept["best"].history)


def test_of_equal_accuracies_the_lower_loss_is_kept():
    result = fit(linear(), blobs(), blobs(seed=1), section(lr=0.3, epochs=8), FP32)
    top = max(row["val_accuracy"] for row in result.history)
    tied = [row for row in result.history if row["val_accuracy"] == top]
    assert len(tied) > 1
    assert result.best_epoch == min(tied, key=lambda row: row["val_loss"])["epoch"]


def test_training_runs_in_train_mode_and_all_else_in_evaluation_mode():
    model, modes = linear(), []
    model.register_forward_pre_hook(lambda module, inputs: modes.append(module.training))
    fit(model, blobs(n=16), blobs(n=8), section(epochs=2), FP32)
    assert modes == [True, True, False] * 2
    assert not model.training


def test_scoring_is_in_evaluation_mode_moves_nothing_and_keeps_the_order():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batches = blobs(n=20)
    logits, labels = logits_of(model, batches, FP32)
    assert torch.equal(logits, logits_of(model, batches, FP32)[0])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert labels.tolist() == batches.labels.tolist()
    assert torch.allclose(logits, model.eval()(torch.from_numpy(batches.views[0])), atol=1e-6)
    assert logits.dtype == torch.float32
    assert not logits.requires_grad


def snapshot(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def tiny_pixels(n=8, size=32):
    pixels = np.random.default_rng(0).integers(0, 256, (n, 3, size, size), dtype=np.uint8)
    return pixel_batches(pixels, np.arange(n) % 2, crop=size, augment="none", network="resnet18")


def test_frozen_backbone_stays_bit_identical_with_its_buffers():
    torch.manual_seed(0)
    model, batches = backbone("resnet18", "none"), tiny_pixels()
    before = snapshot(model)
    features, labels = logits_of(model, batches, FP32)
    head = Head(512, 2)
    cached = FeatureBatches(features.numpy()[None], labels.numpy(), batch_size=4, device=CPU)
    fit(head, cached, cached, section(epochs=2), FP32)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    replace_head(model, "resnet18", head)
    whole, _ = logits_of(model, batches, FP32)
    assert torch.allclose(whole, logits_of(head, cached, FP32)[0], atol=1e-5)


def test_the_articles_frozen_backbone_moves_its_buffers_but_no_weight():
    torch.manual_seed(0)
    model, batches = backbone("resnet18", "none"), tiny_pixels()
    replace_head(model, "resnet18", Head(512, 2))
    before = snapshot(model)
    fit(model, batches, batches, section(epochs=1), FP32)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(before[name], value)}
    buffers = {name for name, _ in model.named_buffers()}
    assert {"fc.weight", "fc.bias"} <= moved
    assert moved - {"fc.weight", "fc.bias"} == buffers


@pytest.mark.parametrize("bad", ["lr", "pixels"])
def test_loss_that_is_not_finite_stops_and_says_where(bad):
    train = blobs()
    if bad == "pixels":
        train.views[0, 3] = math.nan
    with pytest.raises(NotFinite, match=r"in epoch [1-5], step \d of \d|on val after epoch [1-5]"):
        fit(linear(), train, blobs(seed=1), section(lr=1e38 if bad == "lr" else 0.1), FP32)


@pytest.mark.parametrize(("epochs", "decay", "wanted"), [(1, 0.0, -0.05), (2, 0.0, -0.1425021), (2, 0.3, -0.1410021)])
def test_worked_example_of_sgd_with_momentum(epochs, decay, wanted):
    """One image x = 1 of class 1, weights 0, no bias, lr 0.1: p = (1/2, 1/2), gradient (1/2, -1/2), w0 = -0.05.

    Then logits differ by 0.1: p0 = 1 / (1 + e^0.1) = 0.475021; velocity 0.9 * 0.5 + 0.475021 = 0.925021;
    w0 = -0.05 - 0.0925021 = -0.1425021. Weight decay 0.3 adds 0.3 * -0.05 to the second gradient.
    """
    model = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(model.weight)
    one = FeatureBatches(np.ones((1, 1, 1), np.float32), np.array([1]), batch_size=1, device=CPU)
    fit(model, one, one, section(epochs=epochs, weight_decay=decay, keep="last"), FP32)
    assert model.weight[0].item() == pytest.approx(wanted, abs=1e-6)
    assert model.weight[1].item() == pytest.approx(-wanted, abs=1e-6)


@pytest.mark.parametrize(("optimizer", "plain"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_convolutions_in_channels_last_are_trained_as_torchs_plain_optimisers_train_them(optimizer, plain):
    rng = np.random.default_rng(0)
    labels = np.arange(12) % 2
    pixels = rng.integers(0, 256, (12, 3, 16, 16), dtype=np.uint8)
    batches = pixel_batches(pixels, labels, crop=16)

    def network():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 7, 3, stride=2), nn.Flatten(), nn.Linear(252, 2)
        )

    ours, theirs = network().to(memory_format=torch.channels_last), network()
    fit(ours, batches, batches, section(optimizer=optimizer, lr=0.01, epochs=2, keep="last", weight_decay=0.1), FP32)
    numbers = {"momentum": 0.9} if optimizer == "sgd" else {"betas": (0.9, 0.999)}
    steps = plain(theirs.parameters(), lr=0.01, weight_decay=0.1, foreach=False, **numbers)
    for epoch in range(2):
        for x, y in batches.train(epoch):
            steps.zero_grad()
            nn.functional.cross_entropy(theirs(x.contiguous()), y).backward()
            steps.step()
    for mine, plain_one in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, plain_one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [("step", [0.001] * 7 + [0.0001] * 7 + [0.00001]), ("constant", [0.001] * 9)],  # the article's: a tenth after seven
)
def test_schedules_by_epoch(schedule, wanted):
    settings = section(lr=0.001, schedule=schedule, epochs=len(wanted))
    history = fit(linear(), blobs(), blobs(seed=1), settings, FP32).history
    assert [row["lr"] for row in history] == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(("epochs", "steps"), [(5, 8), (30, 3), (1, 40)])
def test_onecycle_rises_to_lr_and_falls_to_nothing(epochs, steps):
    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))], section())
    schedule = make_schedule(optimizer, section(schedule="onecycle", epochs=epochs), steps)
    seen = []
    for _ in range(epochs * steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    top = int(np.argmax(seen))
    assert seen[top] == pytest.approx(0.1, rel=0.02)
    assert all(a <= b for a, b in itertools.pairwise(seen[: top + 1]))
    assert all(a >= b for a, b in itertools.pairwise(seen[top:]))
    assert seen[-1] < 0.01 * 0.1
    assert top < 0.4 * len(seen)


@pytest.mark.parametrize(("epochs", "n"), [(1, 8), (1, 16), (1, 24), (1, 32), (2, 16), (4, 8), (1, 40), (8, 1)])
def test_onecycle_works_and_trains_however_short(epochs, n):
    model = linear()
    before = snapshot(model)
    fit(model, blobs(n=n), blobs(seed=1), section(schedule="onecycle", epochs=epochs, keep="last", lr=0.1), FP32)
    moved = max((before[name] - value).abs().max().item() for name, value in model.state_dict().items())
    assert moved > 0.001


def test_bf16_stays_close_to_fp32_and_keeps_fp32_weights():
    model = linear()
    result = fit(model, blobs(), blobs(seed=1), section(lr=0.01), Compute(CPU, "bf16"))
    exact = fit(linear(), blobs(), blobs(seed=1), section(lr=0.01), FP32)
    assert model.weight.dtype == torch.float32
    assert result.best_logits.dtype == torch.float32
    assert abs(result.history[-1]["val_loss"] - exact.history[-1]["val_loss"]) < 0.02
