"""The two sides of `article_vs_fakeface.py`: one process each, which computes when its parent says so and sleeps otherwise.

Speaks JSON lines: a `Task` comes in and `ready` goes out; then for each command in, a result out:

    round    does the task once                         -> seconds
    ceiling  multiplies two large square matrices       -> flops, floating point operations a second
"""

import contextlib
import copy
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from fakeface.detector.backbones.fused import for_scoring
from fakeface.detector.batches import FeatureBatches, PixelBatches
from fakeface.detector.device import Compute, configure
from fakeface.detector.networks import NETWORKS, Head, build
from fakeface.detector.predictor import Predictor
from fakeface.detector.weights import backbone, build_pretrained
from fakeface.training.loop import fit

STORE = 256  # side of the pixel store's images, and of the article's evaluation images before the centre crop, pixels


@dataclass(frozen=True)
class Task:
    """What both sides do.

    Attributes:
        kind: `train` (one epoch with validation), `extractor` (a new head on a frozen network), `evaluate`.
        network, weights: as in params.yaml.
        batch, our_batch: images a step of the article's side and of fakeface's; 0: as many as suit the device.
        epochs: of the extractor's training. The article's side runs one of them, its parent multiplies.
        views: augmented views of which fakeface caches features.
        data: folder with `0_real` and `1_fake`; train, val: paths inside it. `evaluate` reads val.
        store: `.npy`, uint8 [N, 3, STORE, STORE]: train, then val.
        matrix: side of the matrices whose product is the ceiling.
    """

    kind: str
    network: str
    weights: str
    batch: int
    our_batch: int
    epochs: int
    views: int
    crop: int
    data: str
    train: list[str]
    val: list[str]
    store: str
    device: str
    threads: int
    workers: int
    seed: int
    matrix: int


class Article:
    """The article's way: files decoded anew in every pass, PIL transforms, worker processes, fp32, NCHW."""

    precision = "fp32"

    def __init__(self, task: Task) -> None:
        self.task, self.device = task, torch.device(task.device)
        torch.manual_seed(task.seed)
        torch.set_num_threads(task.threads)
        self.model = new_model(task).to(self.device)
        trained: nn.Module = self.model
        if task.kind == "extractor":
            self.model.requires_grad_(False)
            trained = self.model.get_submodule(NETWORKS[task.network].head).requires_grad_(True)
        self.parameters = list(trained.parameters())
        normal = NETWORKS[task.network]
        tensor = [transforms.ToTensor(), transforms.Normalize(normal.mean, normal.std)]
        crops = [transforms.RandomResizedCrop(task.crop), transforms.RandomHorizontalFlip()]
        centre = [transforms.Resize(STORE), transforms.CenterCrop(task.crop)]
        if task.train:
            self.train = self._loader(task.train, [*crops, *tensor], shuffle=True)
        self.val = self._loader(task.val, [*centre, *tensor], shuffle=False)

    def _loader(self, paths: list[str], steps: list[Any], shuffle: bool) -> Any:
        folder = torchvision.datasets.ImageFolder(self.task.data, transforms.Compose(steps))
        place = {Path(path): i for i, (path, _) in enumerate(folder.samples)}
        chosen = torch.utils.data.Subset(folder, [place[Path(self.task.data, path)] for path in paths])
        return torch.utils.data.DataLoader(
            chosen, batch_size=self.task.batch, shuffle=shuffle, num_workers=self.task.workers
        )

    def round(self) -> None:
        if self.task.kind == "evaluate":
            self._validate()
            return
        optimizer = torch.optim.SGD(self.parameters, lr=0.001, momentum=0.9)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
        self.model.train()
        loss_sum, right = 0.0, 0
        for x, y in self.train:
            x, y = x.to(self.device), y.to(self.device)
            optimizer.zero_grad()
            logits = self.model(x)
            loss = nn.functional.cross_entropy(logits, y)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(y)
            right += int((logits.argmax(1) == y).sum())
        schedule.step()
        self._validate()
        copy.deepcopy(self.model.state_dict())  # of the best epoch so far

    def _validate(self) -> None:
        self.model.eval()
        loss_sum, right = 0.0, 0
        with torch.no_grad():
            for x, y in self.val:
                x, y = x.to(self.device), y.to(self.device)
                logits = self.model(x)
                loss_sum += nn.functional.cross_entropy(logits, y).item() * len(y)
                right += int((logits.argmax(1) == y).sum())

    def flops(self) -> float:
        """Floating point operations of a round."""
        task = self.task
        x = torch.zeros(2, 3, task.crop, task.crop, device=self.device)
        forward = count_flops(self.model, x, contextlib.nullcontext()) / 2
        if task.kind == "evaluate":
            return len(task.val) * forward
        both = count_flops(self.model, x, contextlib.nullcontext(), backward=True) / 2
        return len(task.train) * both + len(task.val) * forward


class Fakeface:
    """This project's way, by its own code: uint8 pixels from the store, whole batches, bf16 where that is faster."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.compute: Compute = configure(task.seed, task.threads, task.device, "auto")
        self.device, self.precision = self.compute.device, self.compute.precision
        # not data.store's PixelFile: that module needs pandas
        self.pixels = np.load(task.store, mmap_mode="r", allow_pickle=False)
        self.labels = np.array([path.startswith("1_fake") for path in [*task.train, *task.val]], dtype=np.int64)
        self.val_rows = np.arange(len(task.train), len(self.labels))
        scoring = self.compute.scoring_batch
        self.train = self._batches(np.arange(len(task.train)), task.our_batch or scoring)
        self.val = self._batches(self.val_rows, scoring)
        if task.kind == "extractor":
            self.model = backbone(task.network, task.weights)
        else:
            self.model = new_model(task)
        self.model.to(self.device).to(memory_format=torch.channels_last)
        if task.kind == "extractor":
            self.scoring = for_scoring(self.model, self.compute)

    def _batches(self, rows: np.ndarray, size: int) -> PixelBatches:
        network, task = NETWORKS[self.task.network], self.task
        return PixelBatches(
            self.pixels,
            self.labels,
            rows,
            network,
            crop_size=task.crop,
            batch_size=size,
            device=self.device,
            augment="article",
            seed=task.seed,
        )

    def round(self) -> None:
        task = self.task
        if task.kind == "train":
            fit(self.model, self.train, self.val, section(1, task.our_batch), self.compute)
        elif task.kind == "evaluate":
            card = {
                "network": task.network,
                "crop_size": task.crop,
                "image_size": STORE,
                "approach": "finetune",
                "temperature": 1.0,
            }
            Predictor(self.model, card, self.compute, task.our_batch).scores(self.pixels, self.val_rows)
        else:
            n = len(task.train)
            train = np.stack([self._features(self.train.view(k)) for k in range(task.views)])
            val = self._features(self.val.in_order())[None]
            cached = [
                FeatureBatches(views, labels, batch_size=task.batch, device=self.device, seed=task.seed)
                for views, labels in ((train, self.labels[:n]), (val, self.labels[n:]))
            ]
            head = Head(train.shape[-1], 2).to(self.device)
            fit(head, cached[0], cached[1], section(task.epochs, task.batch), self.compute)

    @torch.inference_mode()
    def _features(self, images: Iterator[tuple[Tensor, Tensor]]) -> np.ndarray:
        """As the stage `features` does: float32 [n, F]."""
        out = []
        for x, _ in images:
            with self.compute.autocast():
                out.append(self.scoring(x).float().cpu().numpy())
        return np.concatenate(out)

    def flops(self) -> float:
        """Floating point operations of a round, the head on cached features left out."""
        task = self.task
        x = torch.zeros(2, 3, task.crop, task.crop, device=self.device).contiguous(memory_format=torch.channels_last)
        forward = count_flops(self.model, x, self.compute.autocast()) / 2
        if task.kind == "evaluate":
            return len(task.val) * forward
        if task.kind == "extractor":
            return (task.views * len(task.train) + len(task.val)) * forward
        both = count_flops(self.model, x, self.compute.autocast(), backward=True) / 2
        return len(task.train) * both + len(task.val) * forward


def new_model(task: Task) -> nn.Module:
    if task.network == "mynet":
        return build(task.network, task.crop)
    return build_pretrained(task.network, task.weights)


def section(epochs: int, batch: int) -> Any:
    """The article's numbers, as a section of params.yaml has them (its own class would need pydantic)."""
    numbers = {"lr": 0.001, "momentum": 0.9, "weight_decay": 0.0, "step_size": 7, "gamma": 0.1, "patience": 0}
    return SimpleNamespace(epochs=epochs, batch_size=batch, optimizer="sgd", schedule="step", keep="best", **numbers)


def count_flops(model: nn.Module, x: Tensor, precision: Any, backward: bool = False) -> float:
    """torch's count for one batch; a multiplication and an addition are two. Evaluation mode: statistics stay."""
    model.eval()
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(backward), precision:
        logits = model(x)
        if backward:
            logits.float().sum().backward()
    model.zero_grad(set_to_none=True)
    return float(counter.get_total_flops())


def ceiling(device: torch.device, precision: str, size: int) -> float:
    """Operations a second of a matrix product of `size` x `size`: the better of three, after one to warm up."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True  # what cuDNN does with fp32 convolutions unless told otherwise
    a, b = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
    a @ b
    times = []
    for _ in range(3):
        started = now(device)
        a @ b
        times.append(now(device) - started)
    torch.backends.cuda.matmul.allow_tf32 = before
    return 2 * size**3 / min(times)


def now(device: torch.device) -> float:
    """Seconds, when the device has finished what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def serve(side: str) -> None:
    """Answers the parent until it closes the pipe."""

    def answer(**values: object) -> None:
        print(json.dumps(values), flush=True)

    task = Task(**json.loads(sys.stdin.readline()))
    worker = Article(task) if side == "article" else Fakeface(task)
    answer(flops=worker.flops(), precision=worker.precision, torch=torch.__version__)
    for line in sys.stdin:
        if line.strip() == "ceiling":
            answer(flops=ceiling(worker.device, worker.precision, task.matrix))
            continue
        if task.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        started = now(worker.device)
        worker.round()
        seconds = now(worker.device) - started
        peak = torch.cuda.max_memory_allocated() if task.device == "cuda" else 0
        answer(seconds=seconds, cuda_peak=peak, modules=sorted({name.split(".")[0] for name in sys.modules}))


if __name__ == "__main__":
    serve(sys.argv[1])
