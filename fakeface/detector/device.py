"""Where and in which precision a stage computes, and what makes it repeatable."""

import ctypes
import os
import platform
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fakeface.core.errors import UserError
from fakeface.detector import distributed


@dataclass(frozen=True)
class Compute:
    """`precision`: fp32 or bf16, as chosen."""

    device: torch.device
    precision: str

    def autocast(self) -> AbstractContextManager[None]:
        """bf16 where chosen; weights, loss and optimiser stay fp32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    @property
    def scoring_batch(self) -> int:
        """Images at once where no gradient is needed: few keep a CPU's memory low and are as fast, many fill a GPU."""
        return 256 if self.device.type == "cuda" else 8

    def describe(self) -> str:
        """Device, threads, precision, versions, in one line."""
        name = torch.cuda.get_device_name() if self.device.type == "cuda" else processor()
        together = f"{distributed.world()} processes of " if distributed.world() > 1 else ""
        return f"{name}, {together}{torch.get_num_threads()} threads, {self.precision}, torch {torch.__version__}"


def configure(seed: int, threads: int, device: str, precision: str) -> Compute:
    """Seeds torch, sets the threads, asks for deterministic algorithms, chooses device and precision.

    In a process that torchrun has started, also joins the others, which share the threads.

    `auto` takes CUDA where there is one, and bf16 where it is faster than fp32: on a GPU that has it, on a CPU with AVX-512
    BF16 or AMX (without them a CPU emulates bf16 and is slower than in fp32).

    Raises:
        UserError: `cuda` was asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("params.yaml: base.device = 'cuda', but torch finds no CUDA device; set it to auto or cpu")
    kind = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    torch.manual_seed(seed)
    torch.set_num_threads(max(1, threads // distributed.world()))
    _keep_freed_memory()
    distributed.join(torch.device(kind))
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # CUDA has no deterministic backward pass of VGG's adaptive pooling: there a warning, everywhere else a promise
    # (use_deterministic_algorithms would import torch's compiler as well, 1.5 s)
    torch.set_deterministic_debug_mode("warn" if kind == "cuda" else "error")
    # NaN written into every new tensor is an aid to find bugs, and one more pass over the memory
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    if precision == "auto":
        fast = torch.cuda.is_bf16_supported() if kind == "cuda" else cpu_is_fast_in_bf16()
        precision = "bf16" if fast else "fp32"
    return Compute(torch.device(kind), precision)


def images_at_once(device: torch.device, size: int, crop: int) -> int:
    """How many images a GPU cuts to `crop` pixels and normalises at once, in a thirty-second of its memory; 1 on a CPU.

    Not of the memory that is free just now: another number may round otherwise.
    """
    if device.type == "cpu":
        return 1
    bytes_an_image = 24 * (size + crop) ** 2  # in float32: the image, what is half resized, the crop, two matrices
    return max(1, torch.cuda.get_device_properties(device).total_memory // 32 // bytes_an_image)


def resident(store: np.ndarray, rows: np.ndarray, device: torch.device) -> Tensor:
    """Copies rows of pixels or features to the device piece by piece, so that the host's memory holds a small part at a time."""
    there = torch.empty((len(rows), *store.shape[1:]), dtype=torch.from_numpy(store[rows[:0]]).dtype, device=device)
    for start in range(0, len(rows), 1024):
        there[start : start + 1024] = torch.from_numpy(store[rows[start : start + 1024]])
    return there


def processor() -> str:
    """The processor's name; Python's own function knows none on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cpu_is_fast_in_bf16() -> bool:
    """Whether the processor computes in bf16 itself; without AVX-512 BF16 and AMX torch emulates it."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _keep_freed_memory() -> None:
    """Freed memory stays with the process for the next batch (glibc; no influence on any number).

    Otherwise glibc gives every large block back to the system, and the next step pays for each of its pages again.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # musl has none
        m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
        mallopt(m_mmap_max, 0)  # no block of its own from the system for a large tensor
        mallopt(m_trim_threshold, -1)  # and nothing back to it
