"""From batches to logits, and the only way from pixels to a score: a checkpoint, its transform, its network."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fakeface.core.errors import UserError
from fakeface.core.progress import progress
from fakeface.detector import distributed
from fakeface.detector.backbones.fused import for_scoring
from fakeface.detector.batches import Batches, PixelBatches
from fakeface.detector.calibration import scores_from_logits
from fakeface.detector.checkpoints import load
from fakeface.detector.device import Compute
from fakeface.detector.networks import NETWORKS


@dataclass(frozen=True)
class Views:
    """What is scored of an image, whose logits are the mean of theirs: crops of `crop` pixels, the centre or (`crops` 5) the four
    corners too; `mirrored`: each of them together with its mirror image (left-right). As it comes where `crop` is 0."""

    crop: int = 0
    crops: int = 1
    mirrored: bool = False

    @classmethod
    def of_card(cls, card: dict[str, Any]) -> "Views":
        return cls(card["crop_size"], card.get("score_crops", 1), card.get("with_mirrored", False))

    def facts(self) -> dict[str, Any]:
        """What a card states of it in addition to the crop size."""
        return {"with_mirrored": self.mirrored} | ({"score_crops": self.crops} if self.crops > 1 else {})

    def __call__(self, images: Tensor) -> list[Tensor]:
        """float [B, 3, H, H] -> one [B, 3, crop, crop] a view, the centre first."""
        if not self.crop:
            return [images]
        end, side = images.shape[-1] - self.crop, self.crop
        places = [(round(end / 2), round(end / 2)), (0, 0), (0, end), (end, 0), (end, end)][: self.crops]
        views = []
        for top, left in places:
            one = images[:, :, top : top + side, left : left + side]
            views += [one, one.flip(-1)] if self.mirrored else [one]
        return [view.contiguous(memory_format=torch.channels_last) for view in views]


AS_IT_COMES = Views()


@torch.inference_mode()
def logits_of(
    model: nn.Module,
    batches: Batches,
    compute: Compute,
    views: Views = AS_IT_COMES,
) -> tuple[Tensor, Tensor]:
    """Logits float32 [n, 2] and labels int64 [n] on the CPU, in evaluation mode, in the order of the rows."""
    model.eval()
    # Filled, not collected: small tensors that stay, each between the large ones of its batch, would keep the memory of
    # these from being used again (`device._keep_freed_memory`), 65 MB every 1000 images
    rows = max(1, distributed.part(batches.count))  # as many as `distributed.mine` gives
    logits, labels = torch.empty(0), torch.empty(0)
    start = 0
    for x, y in progress(batches.in_order(), len(batches), "scored batches"):
        if len(x) == 1:  # other kernels compute a single image, and in bf16 round otherwise
            x = torch.cat([x, x])
        with compute.autocast():
            seen = views(x)
            z = sum((model(view).float() for view in seen[1:]), start=model(seen[0]).float()) / len(seen)
        if not start:
            logits, labels = z.new_empty(rows, z.shape[1]), y.new_empty(rows)
        end = start + len(y)
        logits[start:end], labels[start:end] = z[: len(y)], y
        start = end
    return distributed.gather_rows(logits, batches.count).cpu(), distributed.gather_rows(labels, batches.count).cpu()


class Predictor:
    """A loaded detector. `card`: what it is and what it was trained on; `batch_size`: 0 for `Compute.scoring_batch`."""

    def __init__(self, model: nn.Module, card: dict[str, Any], compute: Compute, batch_size: int = 0) -> None:
        self.model = model.to(compute.device).to(memory_format=torch.channels_last)
        self.card, self.compute, self.batch_size = card, compute, batch_size or compute.scoring_batch
        self._fused = for_scoring(self.model, compute)

    @classmethod
    def load(cls, folder: Path | str, compute: Compute, batch_size: int = 0) -> "Predictor":
        """Raises UserError when the checkpoint is missing, damaged or tampered with."""
        return cls(*load(folder), compute, batch_size)

    def scores(self, pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Probability of fake, calibrated by the card's temperature: float64 [len(rows)].

        Args:
            pixels: a pixel store, uint8 [N, 3, S, S]; `rows`: which of its images.

        Raises:
            UserError: the store's size is not the one that the detector was trained with.
        """
        size = self.card["image_size"]
        if pixels.shape[-1] != size:
            raise UserError(
                f"models/{self.card['approach']}: was trained on images of {size} pixels, the store has {pixels.shape[-1]}; "
                "run `dvc repro`"
            )
        network, views = NETWORKS[self.card["network"]], Views.of_card(self.card)
        crop_size = views.crop if views.crops == 1 else size
        batches = PixelBatches(
            pixels, None, rows, network, crop_size=crop_size, batch_size=self.batch_size, device=self.compute.device
        )
        logits, _ = logits_of(self._fused, batches, self.compute, views)
        return scores_from_logits(logits.numpy(), self.card["temperature"])


def load_all(approaches: Iterable[str], data_hash: str, compute: Compute) -> dict[str, Predictor]:
    """The detectors of `approaches`, from `models/<approach>`.

    Raises:
        UserError: as `Predictor`, or one was not trained on the split that `data_hash` names.
    """
    predictors = {name: Predictor.load(f"models/{name}", compute) for name in approaches}
    for name, predictor in predictors.items():
        if predictor.card["data_hash"] != data_hash:
            raise UserError(f"models/{name}: was trained on another split (data_hash differs); run `dvc repro`")
    return predictors
