"""A checkpoint is a folder: `model.safetensors` and `card.json`, which says how to use it. Loading runs no code from it."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fakeface.core.errors import UserError
from fakeface.core.files import sha256, whole
from fakeface.detector.networks import CLASSES, NETWORKS, build

FORMAT = 2  # 2: temperature
REQUIRED = {
    "format": int,
    "approach": str,
    "network": str,
    "image_size": int,
    "crop_size": int,
    "threshold": float,
    "temperature": float,
    "data_hash": str,
    "sha256": str,
}
# Checked where they are there: whoever opens a detector computes as they say.
OPTIONAL = {"with_mirrored": bool, "seed": int, "threads": int, "precision": str}
MAX_CARD = 1_000_000  # bytes; a card has some thousand


def save(folder: Path | str, model: nn.Module, card: dict[str, Any]) -> None:
    """Writes the folder whole. `card` needs the keys of REQUIRED but format and sha256; more may follow."""
    network = NETWORKS[card["network"]]
    with whole(folder) as partial:
        partial.mkdir()
        save_tensors(partial / "model.safetensors", model.state_dict())
        full = {
            "format": FORMAT,
            **card,
            "classes": list(CLASSES),
            "score": "probability of fake (class 1): sigmoid((logit of fake - logit of real) / temperature)"
            + ("; each logit the mean over the image and its mirror image" if card.get("with_mirrored") else ""),
            "transform": f"resize the shorter side to {card['image_size']} (antialiased bilinear), "
            f"centre crop {card['image_size']}, centre crop {card['crop_size']}",
            "mean": list(network.mean),
            "std": list(network.std),
            "sha256": sha256(partial / "model.safetensors"),
        }
        (partial / "card.json").write_text(json.dumps(full, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Writes a safetensors file whole. Raises UserError when it cannot be written, such as on a full disk."""
    ready = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    try:
        with whole(path) as partial:
            save_file(ready, partial, metadata)
    except SafetensorError as error:  # from Rust, where even a full disk is not an OSError
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: cannot be written ({reason}); free disk space and run again") from None


def load(folder: Path | str) -> tuple[nn.Module, dict[str, Any]]:
    """The network in evaluation mode and its card.

    Raises:
        UserError: a file is missing or damaged, the weights are not those of the card, do not fit the network, or are no
            numbers to compute with (NaN, infinite, of another type than the network's).
    """
    folder = Path(folder)
    card = read_card(folder)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise UserError(f"{weights}: missing; run `dvc repro` or `dvc pull`")
    if sha256(weights) != card["sha256"]:
        raise UserError(f"{weights}: is not the file that card.json describes (sha256 differs); run `dvc checkout`")
    # Weights are replaced at once: the caller's random numbers must not move with the throw-away initial ones.
    with torch.random.fork_rng(devices=[]):
        model = build(card["network"], card["crop_size"])
    try:
        tensors = load_file(weights)
        wrong = _unusable(tensors, model)
        if not wrong:
            model.load_state_dict(tensors)
    # whoever writes a file's header may name shapes and types that torch does not have
    except (SafetensorError, RuntimeError, LookupError, TypeError, ValueError) as error:
        wrong = " ".join(str(error).split())[:200]
    if wrong:
        raise UserError(f"{weights}: does not fit {card['network']}: {wrong}; run `dvc checkout`")
    return model.eval(), card


def _unusable(tensors: Mapping[str, Tensor], model: nn.Module) -> str:
    """Why the values of these tensors cannot be the model's; empty if they can, as far as torch does not check it itself."""
    expected = model.state_dict()
    for name, value in tensors.items():
        if name in expected and value.dtype != expected[name].dtype:  # torch would convert it in silence
            return f"{name[:100]} holds {value.dtype}, not {expected[name].dtype}"
        if not torch.isfinite(value).all():
            return f"{name[:100]} holds NaN or infinite values"
    return ""


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a checkpoint folder, checked. Raises UserError as `load` does."""
    path = folder / "card.json"
    try:
        if not path.is_file():
            raise UserError(f"{path}: missing; run `dvc repro` or `dvc pull`")
        if path.stat().st_size > MAX_CARD:
            raise UserError(f"{path}: has {path.stat().st_size:,} bytes, more than any card; run `dvc checkout`")
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}); run `dvc checkout`") from None
    if isinstance(card, dict) and type(card.get("format")) is int and card["format"] < FORMAT:
        raise UserError(f"{path}: format {card['format']}, made by an older version of fakeface; run `dvc repro`")
    for key, kind in REQUIRED.items():
        if not isinstance(card, dict) or type(card.get(key)) is not kind:
            raise UserError(f"{path}: {key} is missing or not of type {kind.__name__}; run `dvc checkout`")
    for key, kind in OPTIONAL.items():
        if key in card and type(card[key]) is not kind:
            raise UserError(f"{path}: {key} is not of type {kind.__name__}; run `dvc checkout`")
    if card["format"] != FORMAT or card["network"] not in NETWORKS:
        raise UserError(
            f"{path}: format {card['format']}, network {card['network']!r}: made by another version of fakeface"
        )
    network = NETWORKS[card["network"]]
    told = {"classes": CLASSES, "mean": network.mean, "std": network.std}
    for key, value in told.items():  # the code knows better, but a card that says otherwise tells its readers a lie
        if key in card and card[key] != list(value):
            raise UserError(f"{path}: {key} is not {list(value)}, as {card['network']} has it; run `dvc checkout`")
    if not math.isfinite(card["threshold"]):
        raise UserError(f"{path}: threshold {card['threshold']} is not finite; run `dvc checkout`")
    if not 1 <= card.get("threads", 1) <= 1024 or not 0 <= card.get("seed", 0) < 2**31:  # the limits of params.yaml
        raise UserError(f"{path}: threads or seed lies beyond the limits of params.yaml; run `dvc checkout`")
    if card.get("precision", "auto") not in ("auto", "fp32", "bf16"):
        raise UserError(f"{path}: precision is none of fp32 and bf16; run `dvc checkout`")
    if not 0 < card["temperature"] < float("inf"):
        raise UserError(f"{path}: temperature {card['temperature']} is not above 0 and finite; run `dvc checkout`")
    if not 16 <= card["crop_size"] <= card["image_size"] <= 1024:  # the limits of params.yaml
        raise UserError(
            f"{path}: crop_size {card['crop_size']} of image_size {card['image_size']} is impossible; run `dvc checkout`"
        )
    return card
