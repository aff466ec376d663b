"""A checkpoint is a folder: `model.safetensors` and `card.json`, which says how to use it. Loading runs no code from it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fakeface.errors import UserError
from fakeface.files import sha256, whole
from fakeface.training.networks import CLASSES, NETWORKS, build

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
        UserError: a file is missing or damaged, the weights are not those of the card or do not fit the network.
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
        model.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{weights}: does not fit {card['network']}: {reason}") from None
    return model.eval(), card


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a checkpoint folder, checked. Raises UserError as `load` does."""
    path = folder / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; run `dvc repro` or `dvc pull`") from None
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON ({error}); run `dvc checkout`") from None
    if isinstance(card, dict) and type(card.get("format")) is int and card["format"] < FORMAT:
        raise UserError(f"{path}: format {card['format']}, made by an older version of fakeface; run `dvc repro`")
    for key, kind in REQUIRED.items():
        if not isinstance(card, dict) or type(card.get(key)) is not kind:
            raise UserError(f"{path}: {key} is missing or not of type {kind.__name__}; run `dvc checkout`")
    if type(card.get("with_mirrored", False)) is not bool:
        raise UserError(f"{path}: with_mirrored is not of type bool; run `dvc checkout`")
    if card["format"] != FORMAT or card["network"] not in NETWORKS:
        raise UserError(
            f"{path}: format {card['format']}, network {card['network']!r}: made by another version of fakeface"
        )
    if not 0 < card["temperature"] < float("inf"):
        raise UserError(f"{path}: temperature {card['temperature']} is not above 0 and finite; run `dvc checkout`")
    if not 16 <= card["crop_size"] <= card["image_size"] <= 1024:  # the limits of params.yaml
        raise UserError(
            f"{path}: crop_size {card['crop_size']} of image_size {card['image_size']} is impossible; run `dvc checkout`"
        )
    return card
