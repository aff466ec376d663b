"""The one training loop: every approach is a model, its batches and the numbers of its section in params.yaml."""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from fakeface.core.errors import UserError
from fakeface.core.params import Training
from fakeface.detector import distributed
from fakeface.detector.backbones.fused import for_scoring
from fakeface.detector.batches import Batches
from fakeface.detector.calibration import class_weights
from fakeface.detector.device import Compute
from fakeface.detector.predictor import AS_IT_COMES, Views, logits_of
from fakeface.training.compiled import compiled
from fakeface.training.graphs import GraphedPasses, Passes
from fakeface.training.optimizers import make_optimizer, make_schedule
from fakeface.training.progress import ProgressBar
from fakeface.training.resume import Progress, ResumeFile, Row


class NotFinite(Exception):
    """The loss is NaN or infinite; the message says where."""


def fit(
    model: nn.Module,
    train: Batches,
    val: Batches,
    section: Training,
    compute: Compute,
    *,
    seed: int = 0,
    compile: str = "off",
    views: Views = AS_IT_COMES,
    on_epoch: Callable[[Row], None] = lambda row: None,
    resume: ResumeFile | None = None,
) -> Progress:
    """Trains `model` in place with cross entropy and leaves it with the weights of the epoch kept, in evaluation mode.

    Kept is the last epoch, or the best by `merit` (of equals the earlier one). The test set is not seen here. Of several
    processes (`distributed`) each sees its part of every batch and all end with the same result. Classes that differ in number
    count alike in both losses, and rows have `val_balanced_accuracy` too; with kinds of fakes (`Dataset.groups`) these count
    alike within the fakes, and in `val_generator_accuracy`.

    Args:
        seed: of dropout; every epoch starts its own stream, so that a resumed one draws what an uninterrupted one would.
        compile: `base.compile` (`compiled`).
        views: val is scored as `logits_of` has it, by the network that scores ever after (`for_scoring`).
        on_epoch: called with each row of the history as soon as it is known, also with those of a resumed training.
        resume: where the state after each epoch is kept, and taken from if there is one.

    Raises:
        NotFinite: the loss is no longer finite; the state after the epoch before stays in `resume`.
        UserError: the processes would not continue from the same epoch.
    """
    optimizer = make_optimizer([p for p in model.parameters() if p.requires_grad], section)
    optimizer.zero_grad(set_to_none=True)  # what a caller left there
    schedule = make_schedule(optimizer, section, len(train))
    progress = resume.load(model, optimizer, schedule) if resume else Progress()
    started = time.perf_counter() - progress.seconds
    if not distributed.agree(len(progress.history)):  # several machines, and only the first one's disk holds the state
        raise UserError(
            "the processes would resume from different epochs; copy .fakeface/resume to all machines, or remove it"
        )
    for row in progress.history:
        on_epoch(row)
    network = distributed.wrap(model)
    forward = compiled(network, train, section.epochs, compute, compile)
    passes = make_passes(network, compute, _weight(train), forward)
    weight = None if (found := _weight(val)) is None else found.cpu()  # where the logits are
    done = len(progress.history)
    with ProgressBar(section.epochs, train.count, done) as bar:
        for epoch in range(done + 1, section.epochs + 1):
            if stopped_early(progress.history, section.patience):
                break
            torch.manual_seed(distributed.stream(seed, epoch))
            lr = optimizer.param_groups[0]["lr"]
            network.train()
            each_step = schedule if section.schedule == "onecycle" else None
            loss, accuracy = _train_epoch(passes, train, epoch, optimizer, each_step, bar)
            if each_step is None:
                schedule.step()
            distributed.share_buffers(model)
            val_logits, val_labels = logits_of(for_scoring(model, compute), val, compute, views)
            truth = val_labels.clamp(max=1)
            right = (val_logits.argmax(1) == truth).float()
            plain = weight is None or len(weight) == 2  # else labels of kinds of fakes
            val_loss = cross_entropy(val_logits, truth, weight) if plain else mean_loss(val_logits, val_labels, weight)
            row = {
                "epoch": epoch,
                "lr": lr,
                "train_loss": loss,
                "train_accuracy": accuracy,
                "val_loss": val_loss.item(),
                "val_accuracy": right.mean().item(),
            }
            if weight is not None:
                real, *fakes = [right[val_labels == kind].mean().item() for kind in val_labels.unique()]
                row["val_balanced_accuracy"] = (real + right[truth == 1].mean().item()) / 2
                if len(fakes) > 1:
                    row["val_generator_accuracy"] = (real + sum(fakes) / len(fakes)) / 2
            if not math.isfinite(row["val_loss"]):
                raise NotFinite(f"on val after epoch {epoch}")
            row = {key: round(value, 6) if key != "lr" else value for key, value in row.items()}
            before = progress.history[progress.best_epoch - 1] if progress.best_epoch else None
            progress.history.append(row)
            if section.keep == "last" or before is None or merit(row) > merit(before):
                progress.best_epoch, progress.best_logits = epoch, val_logits
                progress.best_state = {name: value.detach().clone() for name, value in model.state_dict().items()}
            progress.seconds = time.perf_counter() - started
            if resume and distributed.rank() == 0:
                resume.save(progress, model, optimizer, schedule)
            on_epoch(row)
            bar.epoch(row)
    model.load_state_dict(progress.best_state)
    model.eval()
    return progress


def _weight(batches: Batches) -> Tensor | None:
    weights = class_weights(batches.labels.cpu().numpy())
    return None if weights is None else torch.tensor(weights, dtype=torch.float32, device=batches.labels.device)


def make_passes(
    network: nn.Module,
    compute: Compute,
    weight: Tensor | None = None,
    forward: Callable[[Tensor], Tensor] | None = None,
) -> Passes:
    """Forward and backward pass of this process's part of a batch of `size`: (x, y, size) -> (sum of losses, number right).

    Both stay on the device: reading them each step would make a GPU wait. On one GPU the passes are a CUDA graph.
    `weight`: what an image of each label counts in the loss, on the device; None for 1. `forward`: computes what `network` does.
    """

    def passes(x: Tensor, y: Tensor, size: int) -> tuple[Tensor, Tensor]:
        with compute.autocast():
            logits = (forward or network)(x)
        loss = mean_loss(logits.float(), y, weight)
        mine = distributed.part(size)
        # gradients are averaged over the processes: so weighted, that is the mean over the whole batch
        (loss * (mine * distributed.world() / size)).backward()
        return loss.detach() * mine, (logits.argmax(1) == y.clamp(max=1))[:mine].sum()

    if compute.device.type == "cuda" and distributed.world() == 1:
        return GraphedPasses(passes, network)
    return passes


def mean_loss(logits: Tensor, labels: Tensor, weight: Tensor | None) -> Tensor:
    """Cross entropy, each image times the `weight` of its label, over the images; labels of 1 and more are all fake."""
    truth = labels.clamp(max=1)
    if weight is None:
        return cross_entropy(logits, truth)
    if len(weight) == 2:  # not over the sum of weights, which differs from batch to batch
        return cross_entropy(logits, truth, weight, reduction="sum") / len(labels)
    return (cross_entropy(logits, truth, reduction="none") * weight[labels]).sum() / len(labels)


def _train_epoch(
    passes: Passes, train: Batches, epoch: int, optimizer: Optimizer, schedule: LRScheduler | None, bar: ProgressBar
) -> tuple[float, float]:
    """Mean loss and accuracy over the training images, as they were seen. `schedule`: one that moves in every step."""
    device = optimizer.param_groups[0]["params"][0].device
    losses = torch.zeros(len(train), device=device)
    right = torch.zeros((), device=device, dtype=torch.int64)
    for step, (x, y) in enumerate(train.train(epoch - 1)):
        size = min(train.batch_size, train.count - step * train.batch_size)
        losses[step], correct = passes(x, y, size)
        right += correct
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if schedule:
            schedule.step()
        bar.update(size)
    distributed.sum_over_processes(losses, right)
    wrong = torch.nonzero(~torch.isfinite(losses))
    if len(wrong):
        raise NotFinite(f"in epoch {epoch}, step {int(wrong[0]) + 1} of {len(train)}")
    return float(losses.double().sum()) / train.count, int(right) / train.count


def stopped_early(history: list[Row], patience: int) -> bool:
    """Whether the last `patience` epochs brought nothing better on val; never for 0."""
    if not patience or not history:
        return False
    best = max(range(len(history)), key=lambda i: (merit(history[i]), -i))
    return len(history) - 1 - best >= patience


def merit(row: Row) -> tuple[float, float]:
    """What makes an epoch better than another: val accuracy, balanced as the loss is; then a lower val loss."""
    balanced = row.get("val_balanced_accuracy", row["val_accuracy"])
    return row.get("val_generator_accuracy", balanced), -row["val_loss"]
