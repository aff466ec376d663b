"""Which cores the threads of a stage or a command compute on."""

import os

from fakeface.core.params import Base


def bind(base: Base) -> None:
    """`bind_threads` as the parameters say."""
    bind_threads(base.threads, base.processes)


def bind_threads(threads: int, processes: int = 1) -> None:
    """Keeps each of torch's threads on a core of its own; call it before torch is imported (OpenMP reads it then, once).

    Threads of one computation wait for each other. Beside another process the system often puts two of them on one core,
    where each spends its turn waiting: a training then has a sixth of its speed, and half when bound
    (docs/performance.md, "Beside other work"). Only where the threads take all of the machine's cores: several small
    processes, each bound, would share the first ones.
    """
    cores = os.cpu_count()
    all_here = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) == cores
    if threads == cores and processes == 1 and all_here:
        os.environ.setdefault("OMP_PROC_BIND", "true")


def unbind() -> None:
    """Lets the calling thread use all cores; a thread that a bound one has started could use that one's only."""
    if os.environ.get("OMP_PROC_BIND") == "true" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
