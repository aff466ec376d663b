"""Workers: the same results in the same order for any number of processes, and none is left when the parent dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fakeface.sample.workers import worker_map


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_order(processes):
    with worker_map(processes) as map_:
        assert list(map_(pow, range(5), [2] * 5)) == [0, 1, 4, 9, 16]


def test_an_error_in_a_worker_reaches_the_caller():
    with worker_map(2) as map_, pytest.raises(ZeroDivisionError):
        list(map_(divmod, [1], [0]))


def test_no_worker_outlives_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, time\n"
        "from fakeface.sample.workers import worker_map\n"
        "if __name__ == '__main__':\n"
        "    with worker_map(2) as map_:\n"
        "        list(map_(abs, range(4)))\n"
        "        pids = {str(p.pid) for p in __import__('multiprocessing').active_children()}\n"
        "        print(*pids, flush=True)\n"
        "        time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert workers
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker is still there 10 s after its parent was killed"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # an orphan that has ended but was not yet reaped still has its number
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
