"""What an interrupted training needs to continue: one file, replaced after each epoch, removed when the outputs are written.

DVC does not know of it; it is in `.fakeface/resume/` at the project's root: a declared output that persists would switch DVC's
run cache off, and the training would resume from it after a change of parameters. The name holds a key of everything that shapes
the training, so a changed parameter, image, weight or line of code never finds an old state.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

import fakeface
from fakeface.detector.checkpoints import save_tensors

KEEP_DAYS = 14  # states of trainings that nobody continued
Row = dict[str, float]


@dataclass
class Progress:
    """Where a training stands after an epoch; a new one is empty.

    `history`: a row for each finished epoch; `best_epoch`: the one kept so far, from 1, 0 before the first; `best_state` and
    `best_logits`: its weights and its val logits, float32 [n_val, 2]; `seconds`: up to here, with those before an interruption.
    """

    history: list[Row] = field(default_factory=list)
    best_epoch: int = 0
    best_state: dict[str, Tensor] = field(default_factory=dict)
    best_logits: Tensor = field(default_factory=lambda: torch.empty(0))
    seconds: float = 0.0


def resume_key(model: nn.Module, settings: dict[str, Any]) -> str:
    """Hex digest of the initial weights, the settings (JSON values), the package's own code and that of the stage."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    package = Path(fakeface.__file__).parent
    stage = getattr(sys.modules["__main__"], "__file__", None)
    if stage:
        digest.update(Path(stage).read_bytes())
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:32]


def on_gpu(model: nn.Module) -> bool:
    return next(model.parameters()).is_cuda


def copies_queued() -> Callable[[], None]:
    """What waits until the GPU has done all that it was given before this call."""
    return torch.cuda.current_stream().record_event().synchronize


class ResumeFile:
    """The state of one training on disk, in the file `path`, which may not exist."""

    def __init__(self, folder: Path, approach: str, key: str) -> None:
        self.path = folder / f"{approach}-{key}.safetensors"
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._copies: dict[str, Tensor] = {}  # of a GPU's tensors, in memory of the host that it can write to by itself

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One training of a key at a time: experiments that run side by side may share it, and would share the files."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock")):
            try:
                yield
            finally:
                self.wait()

    def save(self, progress: Progress, model: nn.Module, optimizer: Optimizer, schedule: LRScheduler) -> None:
        """Writes the state after an epoch; the one of the epoch before stays until this one is whole.

        A GPU continues with the next epoch meanwhile (`wait`); what cannot be written is reported in the next call.
        """
        self.wait()
        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        for number, values in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": value for name, value in values.items()}
        if progress.best_epoch < len(progress.history):  # else the best weights are these
            tensors |= {f"best.{name}": value for name, value in progress.best_state.items()}
        tensors["best_logits"] = progress.best_logits
        facts = {
            "history": progress.history,
            "best_epoch": progress.best_epoch,
            "seconds": progress.seconds,
            "lr": [group["lr"] for group in optimizer.param_groups],
            "schedule": schedule.state_dict(),
        }
        metadata = {"facts": json.dumps(facts)}
        if not on_gpu(model):
            save_tensors(self.path, tensors, metadata)
            return
        for name, value in tensors.items():
            if name not in self._copies:
                self._copies[name] = torch.empty_like(value, device="cpu", pin_memory=torch.cuda.is_available())
            self._copies[name].copy_(value, non_blocking=True)
        copied, ready = copies_queued(), {name: self._copies[name] for name in tensors}

        def write() -> None:
            copied()
            save_tensors(self.path, ready, metadata)

        self._writing = self._writer.submit(write)

    def wait(self) -> None:
        """Until what `save` was given is on disk. Raises UserError as `save_tensors`."""
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def load(self, model: nn.Module, optimizer: Optimizer, schedule: LRScheduler) -> Progress:
        """Puts model, optimiser and schedule back where they were; an empty `Progress` where there is nothing whole."""
        try:
            with safe_open(self.path, "pt") as file:
                facts = json.loads(file.metadata()["facts"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError):  # none, or cut short by a power failure
            return Progress()
        state: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}}
        moments: dict[int, dict[str, Tensor]] = {}
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for name, value in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "optimizer":
                number, _, moment = rest.partition(".")
                parameter = parameters[int(number)]
                # in the parameter's own memory layout, as the optimiser itself makes them
                same = torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
                moments.setdefault(int(number), {})[moment] = same.detach()
            elif kind in state:
                state[kind][rest] = value
        model.load_state_dict(state["model"])
        for group, lr in zip(optimizer.param_groups, facts["lr"], strict=True):
            group["lr"] = lr
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        schedule.load_state_dict(facts["schedule"])
        best = state["best"] or {name: value.detach().clone() for name, value in model.state_dict().items()}
        return Progress(facts["history"], facts["best_epoch"], best, tensors["best_logits"], facts["seconds"])

    def remove(self) -> None:
        """The training is done; states that nobody came back for are cleared away with it."""
        self.wait()
        self.path.unlink(missing_ok=True)
        for other in self.path.parent.glob("*"):
            with suppress(FileNotFoundError):  # another training may be clearing up as well
                if other.stat().st_mtime < time.time() - KEEP_DAYS * 86400:
                    other.unlink()
