"""Optimisers and schedules of the learning rate."""

import inspect
import math
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, StepLR

from fakeface.core.params import Training


def make_optimizer(parameters: list[Tensor], section: Training) -> Optimizer:
    """SGD with momentum, as the article has it, or AdamW (momentum is its beta1); torch's fused kernels."""
    lr, decay = section.lr, section.weight_decay
    if section.optimizer == "sgd":
        return eager(SGD)(parameters, lr=lr, momentum=section.momentum, weight_decay=decay, fused=True)
    return eager(AdamW)(parameters, lr=lr, betas=(section.momentum, 0.999), weight_decay=decay, fused=True)


def make_schedule(optimizer: Optimizer, section: Training, steps_per_epoch: int) -> LRScheduler:
    """`constant`; `step`: lr x gamma every step_size epochs; `onecycle`: up to lr and down to 0 (Smith 2018), a step a batch."""
    if section.schedule == "onecycle":
        total = section.epochs * steps_per_epoch
        # torch's OneCycleLR divides by zero where a quarter of the steps is one step
        return LambdaLR(optimizer, lambda step: one_cycle(step, total))
    gamma = section.gamma if section.schedule == "step" else 1.0
    return StepLR(optimizer, step_size=section.step_size, gamma=gamma)


def one_cycle(step: int, total: int) -> float:
    """Factor of the learning rate at `step` of `total`: linear up over the first quarter, then half a cosine down to 0."""
    rise = total / 4
    if step < rise:
        return (step + 1) / (math.floor(rise) + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / (total - rise)))


@cache
def eager(kind: Any) -> Any:
    """The optimiser class without the wrappers by which `torch.compile` leaves its methods alone: their first call imports a
    compiler, 1 to 2 s and 280 MB, and computes nothing with it."""
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict", "step")
    own = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    return type(kind.__name__, (kind,), own | {"step": torch.no_grad()(own["step"])})
