"""Worker processes for work that holds the interpreter's lock; they end with their parent, also when it is killed."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any


@contextmanager
def worker_map(processes: int) -> Iterator[Callable[..., Any]]:
    """Yields a `map` over that many processes, results in order; for one process, the built-in `map`.

    The processes are spawned, not forked: a fork of a process whose threads have computed with OpenMP can hang.
    """
    if processes == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_parent) as pool:
        yield pool.map


def _end_with_parent() -> None:
    """After `kill -9` of the parent nobody tells a pool's workers to stop: they hold the queue open for each other."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
