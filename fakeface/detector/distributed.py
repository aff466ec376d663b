"""Several processes that train as one, by torch.distributed and torchrun's own launcher.

Each process takes every n-th image of a batch, gradients are averaged (DistributedDataParallel), and the first process
alone writes. With one process nothing here does anything.
"""

import os
import sys

import numpy as np
import torch
from torch import Tensor, nn

from fakeface.core.errors import UserError


def launch(processes: int, module: str) -> bool:
    """Starts the stage `module` in that many processes and waits for them; False where this process is to do the work.

    That is so for one process, and in a process that torchrun has started, by this function or by the user on several
    machines. SIGTERM ends all of them.

    Raises:
        SystemExit: a process failed; its exit code. It has said why itself, unless it was killed.
    """
    if processes == 1 or "LOCAL_RANK" in os.environ:
        return False
    import logging

    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # a page of its own on every failure
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # else torchrun warns; `configure` sets what base.threads asks for
    try:
        here = ["--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(processes)]
        main([*here, "--module", module])
    except ChildFailedError as error:
        rank, first = error.get_first_failure()
        if first.exitcode < 0:  # by the system, perhaps for lack of memory: it could not report that itself
            print(f"error: process {rank} was terminated by signal {-first.exitcode}", file=sys.stderr)
        sys.exit(first.exitcode if first.exitcode > 0 else 128 - first.exitcode)
    except SignalException as error:
        sys.exit(128 + error.sigval)
    return True


def join(device: torch.device) -> None:
    """Joins the other processes, if torchrun has started this one: gloo on a CPU, nccl on GPUs, one each.

    Raises:
        UserError: there are more processes than GPUs.
    """
    if "LOCAL_RANK" in os.environ and not torch.distributed.is_initialized():
        if device.type == "cuda":
            gpus, here = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
            if here > gpus:
                raise UserError(
                    f"params.yaml: base.processes = {here}, but there are {gpus} GPUs; use at most one process per GPU"
                )
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")


def rank() -> int:
    """This process's number, 0 for the one that writes."""
    return int(os.environ["RANK"]) if "LOCAL_RANK" in os.environ else 0  # others set RANK too, for ends of their own


def world() -> int:
    """How many processes train together."""
    return int(os.environ["WORLD_SIZE"]) if "LOCAL_RANK" in os.environ else 1


def part(size: int) -> int:
    """How many of `size` images are this process's."""
    return len(range(rank(), size, world()))


def mine(index: Tensor) -> Tensor:
    """This process's part of an index, every n-th; where that is nothing, one that is not counted, to keep the pace."""
    return index[rank() :: world()] if part(len(index)) else index[:1]


def wrap(model: nn.Module) -> nn.Module:
    """The model with gradients averaged over the processes."""
    if world() == 1:
        return model
    return nn.parallel.DistributedDataParallel(model)


def share_buffers(model: nn.Module) -> None:
    """Gives all processes the first one's BatchNorm statistics, as before each forward pass in training."""
    if world() > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)


def agree(value: int) -> bool:
    """Whether all processes hold the same value."""
    if world() == 1:
        return True
    values: list[int] = [0] * world()
    torch.distributed.all_gather_object(values, value)
    return len(set(values)) == 1


def sum_over_processes(*values: Tensor) -> None:
    """Replaces each value by its sum, in place."""
    if world() > 1:
        for value in values:
            torch.distributed.all_reduce(value)


def gather_rows(rows: Tensor, count: int) -> Tensor:
    """Rows [m, ...] of all processes, each holding every n-th, back in order: [count, ...]."""
    if world() == 1:
        return rows
    most = -(-count // world())
    padded = rows.new_zeros((most, *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(world())]
    torch.distributed.all_gather(parts, padded)
    return torch.stack(parts, 1).flatten(0, 1)[:count]


def stream(seed: int, epoch: int) -> int:
    """A seed for this epoch and process: their dropout masks differ."""
    return int(np.random.SeedSequence([seed, epoch, rank()]).generate_state(1, np.uint32)[0])
