"""A checkpoint is a folder: `model.safetensors` and `card.json`, which says how to use it. Loading runs no code from it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError

from fakeface.core.errors import UserError, one_line
from fakeface.core.files import sha256, whole
from fakeface.core.params import MIN_CROP, Seed
from fakeface.detector.backbones.names import CLASSES, NETWORKS
from fakeface.images.faces import Faces

if TYPE_CHECKING:  # `read_card` needs no torch: `fakeface predict` decodes the first photos while torch is imported
    from torch import Tensor, nn

MAX_CARD = 1_000_000  # bytes; a card has some thousand


class Card(BaseModel):
    """What card.json must hold; more may follow. Whoever opens a detector computes as it says. Limits as in params.yaml."""

    model_config = ConfigDict(strict=True, extra="allow")
    format: Literal[2]  # 2: temperature
    approach: str
    network: str
    image_size: Annotated[int, Field(le=1024)]
    crop_size: int
    threshold: Annotated[float, Field(allow_inf_nan=False)]
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    data_hash: str
    sha256: str
    with_mirrored: bool = False
    score_crops: Literal[1, 5] = 1
    pixels: Literal["resized", "native"] = "resized"  # of the images of the store, and of photos to judge
    drawings: bool | None = None  # trained on the embedded sample; None: not known
    guessing: bool = False  # on val no better than guessing
    few: int | None = None  # photos or groups of a class in val: too few to tell it from guessing
    constant: Literal["real", "fake"] | None = None  # its answer to all of val
    faces: Faces | None = None
    seed: Seed = 0
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @model_validator(mode="after")
    def _check_network(self) -> "Card":
        if self.network not in NETWORKS:
            raise ValueError(f"network is not one of {', '.join(NETWORKS)}")
        if not MIN_CROP[self.network] <= self.crop_size <= self.image_size:
            raise ValueError(f"crop_size {self.crop_size} of image_size {self.image_size} is impossible")
        network = NETWORKS[self.network]
        for key, value in (("classes", CLASSES), ("mean", network.mean), ("std", network.std)):
            if getattr(self, key, list(value)) != list(value):  # the code knows better, but readers would be misled
                raise ValueError(f"{key} is not {list(value)}, as {network.name} has it")
        return self


def save(folder: Path | str, model: "nn.Module", card: dict[str, Any]) -> None:
    """Writes the folder whole. `card` needs the keys of `Card` without a default, but format and sha256; more may follow."""
    network, size = NETWORKS[card["network"]], card["image_size"]
    means = ["centre and corner crops"] * (card.get("score_crops") == 5)
    means += ["the image and its mirror image"] * card.get("with_mirrored", False)
    own = f"from a larger photo {size} x {size} original pixels around the face; from another " * (
        card.get("pixels") == "native"
    )
    with whole(folder) as partial:
        partial.mkdir()
        save_tensors(partial / "model.safetensors", model.state_dict())
        full = {
            "format": 2,
            **card,
            "classes": list(CLASSES),
            "score": "probability of fake (class 1): sigmoid((logit of fake - logit of real) / temperature)"
            + (f"; each logit the mean over {' and '.join(means)}" if means else ""),
            "transform": f"{own}resize the shorter side to {size} (antialiased bilinear), "
            f"centre crop {size}, centre crop {card['crop_size']}"
            + (f", resize to {network.side} (antialiased bilinear)" if network.side else ""),
            "mean": list(network.mean),
            "std": list(network.std),
            "sha256": sha256(partial / "model.safetensors"),
        }
        (partial / "card.json").write_text(json.dumps(full, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def save_tensors(path: Path, tensors: Mapping[str, "Tensor"], metadata: dict[str, str] | None = None) -> None:
    """Writes a safetensors file whole. Raises UserError when it cannot be written, such as on a full disk."""
    from safetensors.torch import save_file

    ready = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    try:
        with whole(path) as partial:
            save_file(ready, partial, metadata)
    except SafetensorError as error:  # from Rust, where even a full disk is not an OSError
        raise UserError(f"{path}: cannot be written ({one_line(error)}); free disk space and run again") from None


def load(folder: Path | str) -> tuple["nn.Module", dict[str, Any]]:
    """The network in evaluation mode and its card.

    Raises:
        UserError: a file is missing or damaged, the weights are not those of the card, do not fit the network, or are no
            numbers to compute with (NaN, infinite, of another type than the network's).
    """
    import torch
    from safetensors.torch import load_file

    from fakeface.detector.networks import build

    folder = Path(folder)
    card = read_card(folder)
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise UserError(f"{weights}: missing; run `dvc checkout`, `dvc pull` or `dvc repro`")
    if sha256(weights) != card["sha256"]:
        raise UserError(f"{weights}: is not the file that card.json describes (sha256 differs); run `dvc checkout`")
    # Weights are replaced at once: the caller's random numbers must not move with the throw-away initial ones.
    with torch.random.fork_rng(devices=[]):
        model = build(card["network"], card["crop_size"])
    kinds = {name: value.dtype for name, value in model.state_dict().items()}
    try:
        tensors = load_file(weights)
        model.load_state_dict(tensors)
        for name, value in tensors.items():
            if value.dtype != kinds[name]:  # torch has converted it in silence
                raise ValueError(f"{name} holds {value.dtype}, not {kinds[name]}")
            if not torch.isfinite(value).all():
                raise ValueError(f"{name} holds NaN or infinite values")
    # whoever writes a file's header may name shapes and types that torch does not have
    except (SafetensorError, RuntimeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{weights}: does not fit {card['network']}: {one_line(error)}; run `dvc checkout`") from None
    return model.eval(), card


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a checkpoint folder, checked. Raises UserError as `load` does."""
    path, remedy = folder / "card.json", "run `dvc checkout`, or `dvc repro` if an older version of fakeface wrote it"
    try:
        if not path.is_file():
            raise UserError(f"{path}: missing; run `dvc checkout`, `dvc pull` or `dvc repro`")
        if path.stat().st_size > MAX_CARD:
            raise UserError(f"{path}: has {path.stat().st_size:,} bytes, more than any card; {remedy}")
        card = json.loads(path.read_text(encoding="utf-8"))
        Card.model_validate(card)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors()[0]
        reason = ": ".join([*map(str, first["loc"]), first["msg"].removeprefix("Value error, ")])
        raise UserError(f"{path}: {reason}; {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}); {remedy}") from None
    return card
