"""Which detector answers: an approach's, a checkpoint folder, a registered version, or the best of models/."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fakeface.core.cores import wait_asleep
from fakeface.core.errors import UserError, printable
from fakeface.core.load import read_yaml
from fakeface.core.params import APPROACHES
from fakeface.detector.checkpoints import read_card
from fakeface.predict.squares import MAX_MEGAPIXELS
from fakeface.report.cards import best_on_val

if TYPE_CHECKING:
    from fakeface.detector.predictor import Predictor

BRINGS = "`dvc checkout`, `dvc pull` or `dvc repro`"


def open_detector(model: str | None = None) -> "Predictor":
    """The detector that `model` names (`located`), ready to score, computing as its card says (`service.open_checkpoint`).

    Raises:
        UserError: there is none, or its checkpoint is damaged.
    """
    with located(model) as (folder, _):
        # here: it imports torch, whose threads are told how to wait first
        from fakeface.predict.service import open_checkpoint

        return open_checkpoint(folder)


@contextmanager
def located(model: str | None = None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yields a detector's checkpoint folder, which may be gone after the block, and its card; torch is not imported.

    If torch has not been imported before, its threads will sleep while they wait (`cores.wait_asleep`).

    Args:
        model: one of APPROACHES (its checkpoint in `models/`), a checkpoint folder, or `models:/<name>@<alias>` of MLflow's
            registry; None takes the best of `models/` by val, the registered model's rule.

    Raises:
        UserError: there is none, or its card is damaged.
    """
    with _folder(model) as folder:
        wait_asleep()
        yield folder, read_card(folder)


@contextmanager
def _folder(model: str | None) -> Iterator[Path]:
    if model is not None and model.startswith("models:/"):
        from fakeface.tracking.registry import fetched

        with fetched(model) as folder:
            yield folder
        return
    if model is None:
        yield _best()
        return
    folder = Path("models", model) if model in APPROACHES else Path(model).expanduser()
    if not folder.is_dir():
        others = f"allowed: {', '.join(APPROACHES)}, a checkpoint folder, or models:/fakeface@champion"
        raise UserError(
            f"{printable(str(folder))}: no such detector; {f'run {BRINGS}' if model in APPROACHES else others}"
        )
    yield folder


def max_megapixels() -> float:
    """`split.max_megapixels` of params.yaml in the working folder, so that a photo is refused here if the split refuses it.

    Without such a file, or if it cannot be read, `squares.MAX_MEGAPIXELS`.
    """
    with suppress(UserError, KeyError, TypeError, ValueError):
        return float(read_yaml("params.yaml")["split"]["max_megapixels"])
    return MAX_MEGAPIXELS


def _best() -> Path:
    cards = {name: read_card(Path("models", name)) for name in APPROACHES if Path("models", name).is_dir()}
    if not cards:
        raise UserError(f"models: no detector here; run this from the project's root after {BRINGS}, or give --model")
    missing = [f"models/{name}" for name in APPROACHES if name not in cards]
    if missing and Path("params.yaml").is_file():  # the best of all may be among them
        remedy = f"run {BRINGS}, or choose a detector: --model {next(iter(cards))}"
        raise UserError(f"{', '.join(missing)}: missing, so it is not known which detector is the best; {remedy}")
    return Path("models", _best_of(cards))


def _best_of(cards: dict[str, dict[str, Any]]) -> str:
    for name, card in cards.items():
        metrics = card.get("metrics")
        if not isinstance(metrics, dict) or not {"val_accuracy", "val_loss"} <= metrics.keys():
            raise UserError(f"models/{name}/card.json: has no val figures to choose by; choose a detector with --model")
    return best_on_val(cards)
