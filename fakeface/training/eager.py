"""Torch's optimisers without its compiler."""

import inspect
from functools import cache
from typing import Any

import torch


@cache
def eager(kind: Any) -> Any:
    """The optimiser without the wrappers by which `torch.compile` leaves its methods alone: their first call imports a compiler,
    1 s, and computes nothing with it."""
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict", "step")
    own = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    return type(kind.__name__, (kind,), own | {"step": torch.no_grad()(own["step"])})
