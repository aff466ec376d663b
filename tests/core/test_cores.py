"""Threads that compute keep to a core each; threads that they start do not. In processes of their own: OpenMP reads it once."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fakeface.core.cores import bind, unbind, wait_asleep
from fakeface.core.params import Base

ROOT = Path(__file__).parents[2]
CORES = os.cpu_count()
WHOLE = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) == CORES and CORES > 1
needs_all_cores = pytest.mark.skipif(not WHOLE, reason="needs a process that may use all of two or more cores")
BASE = Base(
    seed=0, threads=CORES, device="cpu", precision="fp32", processes=1, compile="off", image_size=64, tracking=False
)
PROGRAM = """
import json, os, sys
from concurrent.futures import ThreadPoolExecutor
from fakeface.core.cores import bind, unbind, wait_asleep
from fakeface.core.params import Base

bind(Base(**json.loads(sys.argv[1])))
import torch

torch.set_num_threads(os.cpu_count())
torch.randn(500, 500) @ torch.randn(500, 500)
masks = [[len(os.sched_getaffinity(int(task))) for task in os.listdir("/proc/self/task")]]
for initializer in (None, unbind):
    with ThreadPoolExecutor(1, initializer=initializer) as pool:
        masks.append(pool.submit(lambda: len(os.sched_getaffinity(0))).result())
print(json.dumps(masks))
"""


def masks(base):
    """Cores that each of torch's threads may use, and a thread started by the main one, as it is and after `unbind`."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    command = [sys.executable, "-c", PROGRAM, base.model_dump_json()]
    return json.loads(subprocess.run(command, env=environ, capture_output=True, check=True).stdout)


@needs_all_cores
def test_each_thread_has_a_core_and_those_that_it_starts_have_all():
    of_torch, started, unbound = masks(BASE)
    assert of_torch.count(1) >= CORES
    assert (started, unbound) == (1, CORES)


STARTS = """
import os, subprocess, sys, types

def start(*given):
    import torch

    subprocess.run([sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"], check=True)

sys.modules["fakeface.variants.train"] = types.SimpleNamespace(train_variant=start)
from stages.variant import variant

variant("scratch", "seed-1")
"""


@needs_all_cores
def test_trainings_that_the_stage_variant_starts_have_all_cores(tmp_path):
    """A process has the cores of the thread that starts it, so the stage itself must not be bound."""
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(re.sub(r"threads: \d+", f"threads: {CORES}", text, count=1))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    environ["PYTHONPATH"] = str(ROOT)
    run = subprocess.run([sys.executable, "-c", STARTS], cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert run.stdout.split() == [str(CORES)], run.stderr


@needs_all_cores
@pytest.mark.parametrize("change", [{"threads": CORES - 1}, {"processes": 2}])
def test_a_part_of_the_cores_is_left_to_the_system(change):
    of_torch, *started = masks(BASE.model_copy(update=change))
    assert set(of_torch) == {CORES}
    assert started == [CORES, CORES]


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("OMP_PROC_BIND", "false")
    bind(BASE)
    unbind()
    assert os.environ["OMP_PROC_BIND"] == "false"


@pytest.mark.parametrize("policy", ["passive", "active"])
def test_threads_of_a_command_sleep_unless_the_user_wants_them_to_spin(monkeypatch, policy):
    monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    if policy == "passive":
        monkeypatch.delenv("OMP_WAIT_POLICY")
    wait_asleep()
    assert os.environ["OMP_WAIT_POLICY"] == policy
