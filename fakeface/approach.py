"""What the three training stages share: track the run, train or go on training, keep checkpoint, history and metrics."""

import json
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from fakeface.data.store import Dataset
from fakeface.errors import UserError
from fakeface.evaluation.threshold import best_threshold, fit_temperature, scores_from_logits
from fakeface.files import sha256, write_text
from fakeface.params import Params, Training
from fakeface.tracking import live, store
from fakeface.training import checkpoints, distributed
from fakeface.training.batches import Batches, PixelBatches
from fakeface.training.device import Compute
from fakeface.training.loop import HISTORY, NotFinite, fit
from fakeface.training.networks import NETWORKS
from fakeface.training.resume import ResumeFile, resume_key

# Without gradients a larger batch than the training's is faster, and it does not change what is learnt.
VAL_BATCH = 64


def pixel_batches(
    dataset: Dataset, network: str, crop_size: int, augment: str, batch_size: int, seed: int, compute: Compute
) -> tuple[PixelBatches, PixelBatches]:
    """The training images, augmented, and the val images, in centre crops, as batches for `network`."""
    train, val = (
        PixelBatches(
            dataset.pixels,
            dataset.labels,
            dataset.rows(split),
            NETWORKS[network],
            crop_size=crop_size,
            batch_size=size,
            device=compute.device,
            augment=augment,
            seed=seed,
        )
        for split, size in (("train", batch_size), ("val", VAL_BATCH))
    )
    return train, val


def train_approach(
    approach: str,
    model: nn.Module,
    train: Batches,
    val: Batches,
    dataset: Dataset,
    params: Params,
    compute: Compute,
    *,
    network: str,
    crop_size: int,
    weights: str,
    sections: tuple[str, ...],
    assemble: Callable[[nn.Module], nn.Module] = lambda model: model,
    inputs: tuple[str, ...] = (),
    with_mirrored: bool = False,
) -> None:
    """Trains one approach and writes `models/<approach>/` and `reports/<approach>/` (history.csv, metrics.json, cost.json).

    No time or machine stands in the first three: the same parameters and data give the same bytes. Seconds go to MLflow, and
    minutes to cost.json (`keep_cost`). A training that was interrupted goes on after its last finished epoch. Of several
    processes the first writes.

    Args:
        model: what the loop trains: a whole network, or the head alone on cached features.
        sections: names of the params.yaml sections that shaped this run, for MLflow.
        assemble: makes the whole network of the trained model.
        inputs: further files that the training rests on, beside the split.
        with_mirrored: score each image together with its mirror image, on val and ever after.

    Raises:
        UserError: the loss is no longer finite, or something cannot be written.
    """
    section: Training = getattr(params, f"train_{approach}")
    stage = f"train_{approach}"
    started = time.perf_counter()
    shown = {name: getattr(params, name) for name in ("base", "split", *sections)}
    settings = {name: getattr(params, name).model_dump(exclude={"tracking"}) for name in ("base", *sections)}
    settings |= {
        "data_hash": dataset.data_hash,
        "machine": compute.describe(),
        "inputs": [sha256(path) for path in inputs],
    }
    key = resume_key(assemble(model), settings)
    resume = ResumeFile(store.root() / ".fakeface" / "resume", approach, key)
    first = distributed.rank() == 0
    tags = {
        "data_hash": dataset.data_hash,
        "network": network,
        "precision": compute.precision,
        "machine": compute.describe(),
    }
    enabled = params.base.tracking and first
    with resume.alone() if first else nullcontext():
        with live.stage_run(stage, enabled=enabled, params=shown, tags=tags, run_file=resume.run) as run:
            model.to(compute.device).to(memory_format=torch.channels_last)
            try:
                result = fit(
                    model,
                    train,
                    val,
                    section,
                    compute,
                    seed=params.base.seed,
                    with_mirrored=with_mirrored,
                    on_epoch=run.epoch,
                    resume=resume,
                )
            except NotFinite as error:
                kept = f"; the state before is kept in {resume.path}" if resume.path.exists() else ""
                raise UserError(
                    f"the loss is not finite {error}: lower {stage}.lr (now {section.lr:g}) in params.yaml{kept}"
                ) from None
            if not first:
                return
            best = result.history[result.best_epoch - 1]
            val_labels = dataset.labels[dataset.rows("val")]
            val_logits = result.val_logits.numpy()
            temperature = fit_temperature(val_labels, val_logits)
            threshold = best_threshold(val_labels, scores_from_logits(val_logits, temperature))
            final = {key: best[key] for key in HISTORY if key not in ("epoch", "lr")} | {
                "best_epoch": result.best_epoch,
                "epochs": len(result.history),
                "threshold": threshold,
                "temperature": temperature,
            }
            card = {
                "approach": approach,
                "network": network,
                "weights": weights,
                "image_size": params.base.image_size,
                "crop_size": crop_size,
                "threshold": threshold,
                "temperature": temperature,
                "data_hash": dataset.data_hash,
                "seed": params.base.seed,
                "threads": params.base.threads,
                "processes": distributed.world(),
                "device": compute.device.type,
                "precision": compute.precision,
                "with_mirrored": with_mirrored,
                "metrics": final,
            }
            checkpoints.save(f"models/{approach}", assemble(model), card)
            history = pd.DataFrame(result.history, columns=HISTORY)
            write_text(f"reports/{approach}/history.csv", history.to_csv(index=False, lineterminator="\n"))
            write_text(f"reports/{approach}/metrics.json", json.dumps(final, indent=2) + "\n")
            digest = checkpoints.read_card(Path("models", approach))["sha256"]
            keep_cost(f"reports/{approach}/cost.json", digest, result.seconds, len(result.history), compute.describe())
            folders = [Path("models", approach), Path("reports", approach)]
            run.finish({**final, "train_seconds": result.seconds}, folders, {approach: history})
            # last: a run without it is not whole, and `fakeface publish` makes another one
            run.tag("model_sha256", digest)
        resume.remove()  # last: killed before, the stage finds all its epochs again
    accuracy = f"val accuracy {best['val_accuracy']:.4f} in epoch {result.best_epoch} of {len(result.history)}"
    stage_seconds = time.perf_counter() - started
    print(f"{approach}: {accuracy}; trained {result.seconds:.1f} s, stage {stage_seconds:.1f} s, {compute.precision}")


def keep_cost(path: Path | str, model_sha256: str, seconds: float, epochs: int, machine: str) -> None:
    """Writes what a training cost: {"model_sha256", "minutes", "epochs", "machine"}; a file about the same model stays.

    The first measurement counts. So the file is in git and no output of DVC's: whoever trains the same model again, which
    never takes the same time, has the same bytes, and the report that shows them too.
    """
    with suppress(OSError, ValueError, TypeError, KeyError):  # none yet, or edited
        if json.loads(Path(path).read_text(encoding="utf-8"))["model_sha256"] == model_sha256:
            return
    cost = {"model_sha256": model_sha256, "minutes": round(seconds / 60, 1), "epochs": epochs, "machine": machine}
    write_text(path, json.dumps(cost, indent=2) + "\n")
