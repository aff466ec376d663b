"""What `configure` promises: seed, threads, device, precision."""

import pytest
import torch

from fakeface.core.errors import UserError
from fakeface.detector import device
from fakeface.detector.device import Compute, configure


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """No CUDA here, whatever the machine; and torch's global settings as they were."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def test_cuda_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"base\.device = 'cuda'") as caught:
        configure(0, 1, "cuda", "auto")
    assert "params.yaml" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("asked", ["auto", "cpu"])
def test_without_cuda_it_is_the_cpu(asked):
    assert configure(0, 1, asked, "fp32") == Compute(torch.device("cpu"), "fp32")


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_set(threads):
    configure(0, threads, "cpu", "fp32")
    assert torch.get_num_threads() == threads


def test_seed_fixes_the_random_numbers():
    draws = []
    for seed in (7, 7, 8):
        configure(seed, 1, "cpu", "fp32")
        draws.append(torch.rand(3))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_deterministic_algorithms_are_asked_for():
    torch.use_deterministic_algorithms(False)
    configure(0, 1, "cpu", "fp32")
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()


@pytest.mark.parametrize(
    ("asked", "fast", "chosen"),
    [("auto", True, "bf16"), ("auto", False, "fp32"), ("fp32", True, "fp32"), ("bf16", False, "bf16")],
)
def test_precision_is_the_one_asked_for_and_auto_the_fast_one(monkeypatch, asked, fast, chosen):
    monkeypatch.setattr(device, "cpu_is_fast_in_bf16", lambda: fast)
    assert configure(0, 1, "cpu", asked).precision == chosen


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_computes_in_the_precision(precision, dtype):
    a = torch.ones(2, 2)
    with Compute(torch.device("cpu"), precision).autocast():
        assert (a @ a).dtype == dtype


def test_description_is_one_line_with_precision_and_version():
    text = Compute(torch.device("cpu"), "bf16").describe()
    assert "\n" not in text
    assert "bf16" in text
    assert torch.__version__ in text
