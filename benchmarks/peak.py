"""The most memory that a process and its descendants hold at once, sampled from outside (Linux)."""

import contextlib
import threading
from pathlib import Path

SECONDS = 0.05  # between two samples


class PeakMemory(contextlib.AbstractContextManager["PeakMemory"]):
    """Samples while the block runs; then `bytes` is the peak, None where the system does not tell.

    Counted are the anonymous and shared memory of all processes, a page that n of them share 1/n in each, and the pages of
    files (libraries, the pixel store) that the first one has mapped.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.bytes = 0 if Path("/proc/self/smaps_rollup").exists() else None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.thread.join()

    def _sample(self) -> None:
        while self.bytes is not None:
            tree = sum(counted(f"/proc/{pid}/smaps_rollup", "Pss_Anon", "Pss_Shmem") for pid in descendants(self.pid))
            self.bytes = max(self.bytes, tree + counted(f"/proc/{self.pid}/status", "RssFile"))
            if self.over.wait(SECONDS):
                return


def descendants(pid: int) -> list[int]:
    """The process, its children, and theirs."""
    found = [pid]
    for process in found:  # grows while it is walked
        for path in Path(f"/proc/{process}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, path.read_text().split())
    return found


def counted(path: str, *keys: str) -> int:
    """Sum of these lines of a file of /proc (`Key: 12 kB`) in bytes; 0 for a process that has ended."""
    with contextlib.suppress(OSError):
        lines = (line.split() for line in Path(path).read_text().splitlines())
        return sum(int(words[1]) * 1024 for words in lines if words[0].rstrip(":") in keys)
    return 0
