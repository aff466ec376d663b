"""How far a stage is: tqdm's bar in a terminal, otherwise a line at least every 30 seconds, as in a training."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

SILENT_SECONDS = 30
T = TypeVar("T")


def progress(items: Iterable[T], total: int, what: str, unit: str = "") -> Iterator[T]:
    """Yields `items`, of which there are `total`, and says on standard error how many are done. Without `unit` no bar."""
    if sys.stderr.isatty():
        if unit:
            from tqdm import tqdm  # not among the packages that a served model needs

            items = tqdm(items, total=total, desc=what, unit=unit)
        yield from items
        return
    started = said = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - said >= SILENT_SECONDS and number < total:
            said, left = now, (total - number) * (now - started) / number
            print(f"{what}: {number} of {total}, {left:.0f} s left", file=sys.stderr, flush=True)
