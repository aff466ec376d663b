"""The stages of `gpu.py` for a machine that has torch, but none of pandas, scipy, scikit-learn and typer.

Each reads params.yaml in the working folder, as the project's own does, and calls the same code for what takes time: decoding,
features, the training loop with its state after each epoch, scoring. Left out: the search for twins by their looks, calibration,
intervals, cards, pictures.

    python benchmarks/gpu_stages.py STAGE                         split, features, train_scratch, ..., evaluate
    python benchmarks/gpu_stages.py processes DEVICE WORLD        trains in WORLD processes on one device; prints its losses
    python benchmarks/gpu_stages.py steps DEVICE NETWORK COMPILE KEPT [tiny]           a row of the table of steps
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

APPROACHES = ("scratch", "extractor", "finetune")
PLAIN: dict[str, Any] = {
    "optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.0, "schedule": "constant", "step_size": 7, "gamma": 0.1,
    "keep": "last", "balance": "class", "patience": 0,
}  # fmt: skip


def draw(folder: Path, pairs: int) -> None:
    """Smooth random pictures in 0_real and a noisier copy of each in 1_fake, 128 pixels, under one name."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("0_real", "1_fake"):
        (folder / name).mkdir(parents=True)
    for i in range(pairs):
        small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        real = np.asarray(small.resize((128, 128), Image.Resampling.BICUBIC)).astype(np.int16)
        fake = (real + rng.integers(-12, 13, real.shape)).clip(0, 255)
        for name, pixels in (("0_real", real), ("1_fake", fake)):
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i:05d}.jpg", quality=92)


def split(params: Any) -> None:
    """Decodes all images; images of one name on one side, or with `group_by: none` each for itself."""
    from article_vs_fakeface import write_store

    from fakeface.images.decode import find_images

    base, p = params.base, params.split
    found = find_images(p.data, p.real, p.fake)
    Path("data/split").mkdir(parents=True)
    store = Path("data/split/pixels.npy")
    write_store(store, Path(p.data), [item.path for item in found], os.cpu_count() or 1, base.image_size)
    test = 500 / 1999 if p.protocol == "article" else p.test
    val = p.val * (1 - test) if p.protocol == "article" else p.val
    names = [item.stem if p.group_by == "photo" else item.path for item in found]
    kinds, group = np.unique(names, return_inverse=True)
    place = np.random.default_rng(base.seed).permutation(len(kinds))[group] / len(kinds)
    splits = np.where(place < test, "test", np.where(place < test + val, "val", "train"))
    labels = np.array([item.label for item in found], dtype=np.int64)
    np.savez("data/split/split.npz", labels=labels, splits=splits)


@dataclass(frozen=True)
class Split:
    """What the trainings want of a `Dataset`, which needs pandas."""

    pixels: Any
    labels: np.ndarray
    splits: np.ndarray

    @classmethod
    def open(cls) -> "Split":
        known = np.load("data/split/split.npz", allow_pickle=False)
        return cls(np.load("data/split/pixels.npy", mmap_mode="r"), known["labels"], known["splits"])

    def rows(self, name: str) -> np.ndarray:
        return np.flatnonzero(self.splits == name)

    def groups(self, balance: str) -> np.ndarray:
        return self.labels


def configured(params: Any) -> Any:
    from fakeface.detector.device import configure

    return configure(params.base.seed, params.base.threads, params.base.device, params.base.precision)


def features(params: Any) -> None:
    import torch

    from fakeface.detector.batches import pixel_batches
    from fakeface.detector.weights import backbone

    compute, data, p = configured(params), Split.open(), params.features
    model = backbone(p.network, p.weights).to(compute.device).to(memory_format=torch.channels_last)
    batch = compute.scoring_batch
    train, val = pixel_batches(data, p, batch, params.base.seed, compute)  # type: ignore[arg-type]

    @torch.inference_mode()
    def through(views: list[Any]) -> np.ndarray:
        with compute.autocast():
            return np.stack([np.concatenate([model(x).float().cpu().numpy() for x, _ in view]) for view in views])

    train_features = through([train.view(k) for k in range(p.views)])
    np.savez("data/features.npz", train=train_features, val=through([val.in_order()]))


def train(approach: str, params: Any) -> None:
    from torch import channels_last

    from fakeface.detector.batches import FeatureBatches, pixel_batches
    from fakeface.detector.checkpoints import save_tensors
    from fakeface.detector.networks import Head
    from fakeface.detector.predictor import AS_IT_COMES, Views
    from fakeface.training.loop import fit, merit
    from fakeface.training.resume import ResumeFile

    started = time.perf_counter()
    compute, data = configured(params), Split.open()
    p, seed, views = getattr(params, f"train_{approach}"), params.base.seed, AS_IT_COMES
    if approach == "extractor":
        stored = np.load("data/features.npz", allow_pickle=False)
        model: Any = Head(stored["train"].shape[-1], 2)
        batches: Any = [
            FeatureBatches(
                stored[k], data.labels[data.rows(k)], batch_size=p.batch_size, device=compute.device, seed=seed
            )
            for k in ("train", "val")
        ]
    else:
        model = network(approach, params)
        batches = pixel_batches(data, p, p.batch_size, seed, compute)  # type: ignore[arg-type]
        if approach == "finetune":
            views = Views(p.crop_size, p.score_crops, p.with_mirrored)
    model.to(compute.device).to(memory_format=channels_last)
    resume = ResumeFile(Path(".fakeface/resume"), approach, "benchmark")
    with resume.alone():
        result = fit(
            model,
            batches[0],
            batches[1],
            p,
            compute,
            seed=seed,
            compile=params.base.compile,
            views=views,
            resume=resume,
        )
    Path("models").mkdir(exist_ok=True)
    save_tensors(Path(f"models/{approach}.safetensors"), model.state_dict())
    best = merit(result.history[result.best_epoch - 1])[0]
    print(f"{approach}: val accuracy {best:.4f} in epoch {result.best_epoch} of {len(result.history)}; ", end="")
    print(f"trained {result.seconds:.1f} s, stage {time.perf_counter() - started:.1f} s, {compute.precision}")


def network(approach: str, params: Any) -> Any:
    """As the training begins, of the extractor the backbone with a new head."""
    from fakeface.detector.networks import build, he_init
    from fakeface.detector.weights import build_pretrained, tune

    p = params.features if approach == "extractor" else getattr(params, f"train_{approach}")
    if approach == "scratch":
        model = build(p.network, p.crop_size)
        if p.init == "he":
            he_init(model)
        return model
    model = build_pretrained(p.network, p.weights)
    return tune(model, p.network, p.tune) if approach == "finetune" else model


def evaluate(params: Any) -> None:
    from safetensors.torch import load_file

    from fakeface.detector.networks import NETWORKS
    from fakeface.detector.predictor import Predictor

    compute, data, figures = configured(params), Split.open(), {}
    rows = data.rows("test")
    fake = data.labels[rows] == 1
    for approach in APPROACHES:
        p = params.features if approach == "extractor" else getattr(params, f"train_{approach}")
        model = network(approach, params)
        state = load_file(f"models/{approach}.safetensors")
        (model.get_submodule(NETWORKS[p.network].head) if approach == "extractor" else model).load_state_dict(state)
        card = {
            "approach": approach, "network": p.network, "crop_size": p.crop_size, "temperature": 1.0,
            "image_size": params.base.image_size, "with_mirrored": getattr(p, "with_mirrored", False),
            "score_crops": getattr(p, "score_crops", 1),
        }  # fmt: skip
        scores = Predictor(model.eval(), card, compute).scores(data.pixels, rows)
        right = (scores >= 0.5) == fake
        above = scores[fake][:, None] - scores[~fake][None]
        figures[approach] = {
            "accuracy": right.mean(), "accuracy_real": right[~fake].mean(), "accuracy_fake": right[fake].mean(),
            "roc_auc": ((above > 0) + 0.5 * (above == 0)).mean(),
        }  # fmt: skip
    Path("reports/evaluate").mkdir(parents=True)
    Path("reports/evaluate/metrics.json").write_text(json.dumps(figures, default=float))


def processes(device: str, world: int) -> None:
    """Four epochs of mynet on random pixels, 29 images in batches of 9, in `world` processes that share the device."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "process", device, str(world), f"{folder}/rendezvous"]
        ranks = [{"LOCAL_RANK": "0", "RANK": str(rank), "WORLD_SIZE": str(world)} for rank in range(world)]
        children = [subprocess.Popen(command, env=os.environ | rank) for rank in ranks]
        codes = [child.wait() for child in children]
    sys.exit(max(map(abs, codes)))


def process(device: str, world: int, rendezvous: str) -> None:
    """One of them; the first prints the training loss of each epoch."""
    import torch

    from fakeface.core.params import Training
    from fakeface.detector import distributed
    from fakeface.detector.batches import PixelBatches
    from fakeface.detector.device import configure
    from fakeface.detector.networks import NETWORKS, build
    from fakeface.training.loop import fit

    # before `configure`, which would take nccl, and a card for each process
    where = f"file://{rendezvous}"
    torch.distributed.init_process_group("gloo", init_method=where, rank=distributed.rank(), world_size=world)
    torch.backends.cudnn.allow_tf32 = False  # its rounding would hide a fault
    compute = configure(0, 2, device, "fp32")
    pixels = np.random.default_rng(0).integers(0, 256, (29, 3, 128, 128), dtype=np.uint8)
    batches = PixelBatches(
        pixels, np.arange(29) % 2, np.arange(29), NETWORKS["mynet"], crop_size=96, batch_size=9,
        device=compute.device, augment="crop",
    )  # fmt: skip
    section = Training(epochs=4, batch_size=9, lr=0.003, **PLAIN)
    model = build("mynet", 96).to(compute.device).to(memory_format=torch.channels_last)
    history = fit(model, batches, batches, section, compute).history
    if distributed.rank() == 0:
        print(json.dumps([row["train_loss"] for row in history]), flush=True)
    torch.distributed.destroy_process_group()


def steps(device: str, name: str, compile: str, kept: str, tiny: str = "") -> None:
    """Five epochs of 2700 random images, crop 224; a step is the median of those after the first, val and state included."""
    import torch

    from fakeface.core.params import Training
    from fakeface.detector.batches import PixelBatches
    from fakeface.detector.device import configure
    from fakeface.detector.networks import NETWORKS, build
    from fakeface.training.loop import fit
    from fakeface.training.resume import ResumeFile

    compute, batch = configure(0, 1 if tiny else 8, device, "auto"), 16 if name == "mynet" else 4
    images, size, crop = (64, 112, 96) if tiny else (2700, 256, 224)
    pixels = np.random.default_rng(0).integers(0, 256, (images, 3, size, size), dtype=np.uint8)
    train, val = (
        PixelBatches(
            pixels, np.arange(images) % 2, np.arange(count), NETWORKS[name], crop_size=crop, batch_size=one,
            device=compute.device, augment="article",
        ) for one, count in ((batch, images), (compute.scoring_batch, images // 6))
    )  # fmt: skip
    model = build(name, crop)
    model.to(compute.device).to(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as folder:
        resume = ResumeFile(Path(folder), name, "steps") if kept else None
        times = [time.perf_counter()]
        section = Training(epochs=5, batch_size=batch, lr=0.001, **PLAIN)
        fit(model, train, val, section, compute, compile=compile, resume=resume,
            on_epoch=lambda row: times.append(time.perf_counter()))  # fmt: skip
        if resume:
            resume.wait()
    first, *others = np.diff(times).tolist()
    step = 1000 * float(np.median(others)) / len(train)
    print(f"| {name}, {batch} | {compile} | {kept or 'no'} | {step:.2f} | {first:.1f} |")


def main() -> None:
    what, *rest = sys.argv[1:]
    if what == "steps":
        steps(*rest)
        return
    if what in ("processes", "process"):
        globals()[what](rest[0], int(rest[1]), *rest[2:])
        return
    from fakeface.core.load import load_params

    params = load_params()
    if what.startswith("train_"):
        train(what.removeprefix("train_"), params)
    else:
        {"split": split, "features": features, "evaluate": evaluate}[what](params)


if __name__ == "__main__":
    main()
