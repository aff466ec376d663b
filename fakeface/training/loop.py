"""The one training loop: every approach is a model, its batches and the numbers of its section in params.yaml."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from fakeface.errors import UserError
from fakeface.params import Training
from fakeface.training.device import Compute

HISTORY = ["epoch", "lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]
Row = dict[str, float]


class Batches(Protocol):
    def __len__(self) -> int: ...
    def train(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]: ...
    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]: ...


@dataclass(frozen=True)
class Fit:
    """`history`: a row an epoch (`HISTORY`); `best_epoch`: the one kept; `val_logits`: float32 [n_val, 2] of that epoch."""

    history: list[Row]
    best_epoch: int
    val_logits: Tensor


def fit(
    model: nn.Module,
    train: Batches,
    val: Batches,
    section: Training,
    compute: Compute,
    *,
    on_epoch: Callable[[Row], None] = lambda row: None,
) -> Fit:
    """Trains `model` in place with cross entropy and leaves it with the weights of the epoch kept, in evaluation mode.

    Kept is the last epoch, or the best by val accuracy (ties: lower val loss, then the earlier one). The test set is not
    seen here.

    Args:
        on_epoch: called with each row of the history, as soon as it is known.

    Raises:
        UserError: the loss is no longer finite.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = make_optimizer(parameters, section)
    schedule = make_schedule(optimizer, section, len(train))
    history: list[Row] = []
    best: tuple[float, float] | None = None
    best_epoch, best_state, best_logits = 0, {}, torch.empty(0)
    bar = tqdm(total=section.epochs * len(train), unit="batch", desc="train", mininterval=1)
    for epoch in range(1, section.epochs + 1):
        model.train()
        lr = optimizer.param_groups[0]["lr"]
        # Sums stay on the device: reading them each step would make a GPU wait.
        loss_sum = torch.zeros((), device=compute.device)
        right = torch.zeros((), device=compute.device, dtype=torch.int64)
        seen = 0
        for x, y in train.train(epoch - 1):
            with compute.autocast():
                logits = model(x)
            loss = cross_entropy(logits.float(), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            if section.schedule == "onecycle":
                schedule.step()
            loss_sum += loss.detach() * len(y)
            right += (logits.argmax(1) == y).sum()
            seen += len(y)
            bar.update()
        if section.schedule != "onecycle":
            schedule.step()
        val_logits, val_labels = predict(model, val, compute)
        row = {
            "epoch": epoch,
            "lr": lr,
            "train_loss": loss_sum.item() / seen,
            "train_accuracy": right.item() / seen,
            "val_loss": cross_entropy(val_logits, val_labels).item(),
            "val_accuracy": (val_logits.argmax(1) == val_labels).float().mean().item(),
        }
        if not all(map(torch.isfinite, torch.tensor([row["train_loss"], row["val_loss"]]))):
            bar.close()
            raise UserError(f"the loss is not finite in epoch {epoch}: lower lr (now {section.lr:g}) in params.yaml")
        row = {key: round(value, 6) if key != "lr" else value for key, value in row.items()}
        history.append(row)
        on_epoch(row)
        bar.set_postfix(epoch=epoch, train=f"{row['train_loss']:.3f}", val_acc=f"{row['val_accuracy']:.3f}")
        merit = (row["val_accuracy"], -row["val_loss"])
        if section.keep == "last" or best is None or merit > best:
            best, best_epoch, best_logits = merit, epoch, val_logits
            best_state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    bar.close()
    model.load_state_dict(best_state)
    model.eval()
    return Fit(history, best_epoch, best_logits)


@torch.inference_mode()
def predict(model: nn.Module, batches: Batches, compute: Compute) -> tuple[Tensor, Tensor]:
    """Logits float32 [n, 2] and labels int64 [n] on the CPU, in evaluation mode, in the order of the rows."""
    model.eval()
    logits, labels = [], []
    for x, y in batches.in_order():
        with compute.autocast():
            logits.append(model(x).float())
        labels.append(y)
    return torch.cat(logits).cpu(), torch.cat(labels).cpu()


def make_optimizer(parameters: list[nn.Parameter], section: Training) -> torch.optim.Optimizer:
    """SGD with momentum, as the article has it, or AdamW (momentum is its beta1); torch's fused kernels."""
    lr, decay = section.lr, section.weight_decay
    if section.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=section.momentum, weight_decay=decay, fused=True)
    return torch.optim.AdamW(parameters, lr=lr, betas=(section.momentum, 0.999), weight_decay=decay, fused=True)


def make_schedule(
    optimizer: torch.optim.Optimizer, section: Training, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """`constant`; `step`: lr x gamma every step_size epochs; `onecycle`: up to lr and down to 0 (Smith 2018), a step a batch."""
    schedulers = torch.optim.lr_scheduler
    if section.schedule == "onecycle":
        total = section.epochs * steps_per_epoch
        # torch's OneCycleLR divides by zero where a quarter of the steps is one step
        return schedulers.LambdaLR(optimizer, lambda step: one_cycle(step, total))
    gamma = section.gamma if section.schedule == "step" else 1.0
    return schedulers.StepLR(optimizer, step_size=section.step_size, gamma=gamma)


def one_cycle(step: int, total: int) -> float:
    """Factor of the learning rate at `step` of `total`: linear up over the first quarter, then half a cosine down to 0."""
    rise = total / 4
    if step < rise:
        return (step + 1) / (math.floor(rise) + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / (total - rise)))
