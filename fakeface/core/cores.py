"""Which cores the threads of a stage compute on, and how those of a command wait."""

import os

from fakeface.core.params import Base

_bound = False  # by this process


def bind(base: Base) -> None:
    """Keeps each of torch's threads on a core of its own; call it before torch is imported (OpenMP reads it then, once).

    Threads of one computation wait for each other. If another process runs, the system often puts two of them on one core,
    where each spends its turn waiting: a training then has a sixth of its speed, and half when bound
    (docs/performance.md). Only if the threads take all of the machine's cores: several small
    processes, each bound, would share the first ones.
    """
    cores = os.cpu_count()
    all_here = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) == cores
    if base.threads == cores and base.processes == 1 and all_here:
        os.environ.setdefault("OMP_PROC_BIND", "true")
        global _bound
        _bound = os.environ["OMP_PROC_BIND"] == "true"


def unbind() -> None:
    """Lets the calling thread use all cores; a thread that a bound one has started could use that one's only."""
    if _bound:  # and so may use all cores; whom the user has bound stays so
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


def wait_asleep() -> None:
    """Threads of one computation sleep while they wait for each other; call it before torch is imported, as `bind`.

    For commands that decode photos while they compute, and that people start on a busy machine: threads that wait by spinning
    take the cores from both (docs/performance.md).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
