"""What all training stages share: set up, train or resume, and write checkpoint, history, metrics and cost."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from torch import nn

from fakeface.core.errors import UserError
from fakeface.core.files import root, sha256, write_csv, write_json
from fakeface.core.params import Features, Params, TrainFinetune, TrainScratch
from fakeface.detector import checkpoints, distributed
from fakeface.detector.batches import Batches
from fakeface.detector.device import Compute, configure
from fakeface.detector.predictor import AS_IT_COMES, Views
from fakeface.images.faces import measured
from fakeface.images.store import Dataset
from fakeface.training.loop import NotFinite, fit, merit
from fakeface.training.outcome import final_metrics, keep_cost
from fakeface.training.resume import Progress, ResumeFile, resume_key


@dataclass(frozen=True)
class Task:
    """What a training stage has to say of its approach.

    Attributes:
        model: what the loop trains: a whole network, or the head alone on cached features.
        train, val: its batches.
        section: of params.yaml, that names network, crop size and weights.
        assemble: makes the whole network of the trained model.
        inputs: further files that the training depends on, in addition to the split.
        views: of what an image's score is the mean, on val and ever after; needed where `val` holds whole images.
    """

    model: nn.Module
    train: Batches
    val: Batches
    section: Features | TrainScratch | TrainFinetune
    assemble: Callable[[nn.Module], nn.Module] = lambda model: model
    inputs: tuple[str, ...] = ()
    views: Views = AS_IT_COMES


class Tracker(Protocol):
    """Shows a training while it runs; none of its methods raises or waits."""

    def start(self, key: str, facts: dict[str, Any]) -> None:
        """`key`: the same when an interrupted training continues; `facts`: what the card says already."""

    def epoch(self, row: dict[str, float]) -> None:
        """A row of the history; after an interruption all rows come again."""


def train_approach(
    approach: str,
    params: Params,
    prepare: Callable[[Dataset, Compute], Task],
    sections: tuple[str, ...],
    tracker: Tracker,
) -> None:
    """Trains one approach and writes `models/<approach>/`, history.csv and metrics.json in `reports/train/<approach>/`, and
    `reports/cost/<approach>.json`.

    The first three contain no time or machine: the same parameters and data give the same bytes. The minutes go to the last one
    (`keep_cost`). An interrupted training continues after its last finished epoch. Of several processes the first writes.

    Args:
        prepare: makes the task, after the seeds are set.
        sections: names of the params.yaml sections that shape the result, in addition to `base`.

    Raises:
        UserError: the loss is no longer finite, or something cannot be written.
    """
    if distributed.launch(params.base.processes, f"stages.train_{approach}"):
        return
    base, section = params.base, getattr(params, f"train_{approach}")
    started = time.perf_counter()
    compute = configure(base.seed, base.threads, base.device, base.precision)
    dataset = Dataset.open()
    task = prepare(dataset, compute)
    settings = {name: getattr(params, name).model_dump(exclude={"tracking"}) for name in ("base", *sections)}
    inputs = [sha256(path) for path in task.inputs]
    settings |= {"data_hash": dataset.data_hash, "machine": compute.describe(), "inputs": inputs} | dataset.facts()
    key = resume_key(task.assemble(task.model), settings)
    resume = ResumeFile(root() / ".fakeface" / "resume", approach, key)
    facts = {
        "approach": approach,
        "network": task.section.network,
        "weights": getattr(task.section, "weights", "none"),
        "image_size": base.image_size,
        "crop_size": task.section.crop_size,
        "threshold": None,  # known after the training
        "temperature": None,
        "data_hash": dataset.data_hash,
        "seed": base.seed,
        "threads": base.threads,
        "processes": distributed.world(),
        "device": compute.device.type,
        "precision": compute.precision,
        **task.views.facts(),
        **dataset.facts(),
    }
    first = distributed.rank() == 0
    with resume.alone() if first else nullcontext():
        if first:
            tracker.start(key, facts)
            facts |= measured(dataset)
        task.model.to(compute.device).to(memory_format=torch.channels_last)
        try:
            result = fit(
                task.model,
                task.train,
                task.val,
                section,
                compute,
                seed=base.seed,
                compile=base.compile,
                views=task.views,
                on_epoch=tracker.epoch if first else lambda row: None,
                resume=resume,
            )
        except NotFinite as error:
            resume.wait()
            kept = f"; the last good state is kept in {resume.path}" if resume.path.exists() else ""
            remedy = f"lower train_{approach}.lr (now {section.lr:g}) in params.yaml"
            raise UserError(f"the loss is not finite {error}: {remedy}{kept}") from None
        if first:
            metrics, doubts = final_metrics(result, dataset)
            facts |= doubts
            write_outputs(approach, task.assemble(task.model), facts, metrics, result, compute.describe())
            resume.remove()  # last: killed before, the stage finds all its epochs again
            accuracy = f"val accuracy {merit(metrics)[0]:.4f} in epoch {result.best_epoch} of {metrics['epochs']}"
            seconds = f"trained {result.seconds:.1f} s, stage {time.perf_counter() - started:.1f} s"
            print(f"{approach}: {accuracy}; {seconds}, {compute.precision}")


def write_outputs(
    approach: str, model: nn.Module, facts: dict[str, Any], metrics: dict[str, float], result: Progress, machine: str
) -> None:
    """The checkpoint, whose card holds `facts` and `metrics`; metrics.json, which names the model too; history.csv; the cost."""
    folder, report = Path("models", approach), Path("reports/train", approach)
    calibration = {key: metrics[key] for key in ("threshold", "temperature")}
    checkpoints.save(folder, model, facts | calibration | {"metrics": metrics})
    digest = sha256(folder / "model.safetensors")
    history = pd.DataFrame(result.history)
    write_csv(report / "history.csv", history)
    write_json(report / "metrics.json", metrics | {"model_sha256": digest})
    keep_cost(Path("reports/cost", f"{approach}.json"), digest, result.seconds, len(result.history), machine)
