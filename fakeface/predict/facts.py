"""What a detector was trained on and how often it errs: from its card, and from reports about exactly this model."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakeface.core.files import read_json
from fakeface.predict.service import DRAWINGS
from fakeface.scoring.markdown import Figure

GUESSING = "On its own val images this detector is no better than guessing, so every verdict is unsure."
FEW = (
    "Val had too few photos or groups (6 per class are needed) to tell this detector from guessing, so every verdict is "
    "unsure."
)
OTHER_DATA = "This detector was trained on other data than this project's split."


@dataclass(frozen=True)
class Facts:
    """Sentences for the page. `errors` is empty where no test figures of this very model were found.

    `short`: who judges and how well; `warning`: shown with every verdict, mostly empty; `note`: printed once, where the project's
    split is another one. The limits of a detector in figures are the report's.
    """

    short: str
    warning: str
    trained: str
    errors: list[str]
    note: str = ""


def facts(card: dict[str, Any], root: Path = Path(".")) -> Facts:
    """What is known of the detector with this card, in the project at `root`.

    Reports count only if they name this very model by the sha256 of its weights; otherwise they may be of another one. That it
    guesses, or was trained on drawings, is its card's to say, wherever it lies.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    warning = warning_of(card)
    note = ""
    unknown = f"Judged by {card['approach']}; its error rates are not known here."
    try:
        split = read_json(root / "reports/split/summary.json")
        if split["data_hash"] != card["data_hash"]:
            note = OTHER_DATA
            raise ValueError("another split")
        # the lock says what the split was made from; params.yaml may have been edited since
        lock = (root / "dvc.lock").read_text(encoding="utf-8")
        own = re.search(r"^  split:\n(?:    .*\n)+", lock, re.MULTILINE)  # to read all of it takes 0.2 s
        stage = YAML(typ="safe", pure=True).load(own[0] if own else "")["split"]
        trained = _trained(card, split, stage["params"]["params.yaml"]["split"]["data"])
    except (YAMLError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return Facts(unknown, warning, _trained(card, None, ""), [], note)
    try:
        if read_json(root / "reports/evaluate/metrics.json")[card["approach"]]["model_sha256"] != card["sha256"]:
            raise ValueError("the figures are about another model")
        figures = _figures(root / "reports/evaluate/figures.csv", card["approach"])
        right = f"{100 * figures['accuracy_at_threshold'][0]:.1f} % of {sum(split['test'].values())}"
        short = f"Judged by {card['approach']}, which classified {right} test pictures correctly."
        return Facts(short, warning, trained, _errors(figures, split["test"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return Facts(unknown, warning, trained, [])


def warning_of(card: dict[str, Any]) -> str:
    """What to know of a detector with every verdict, by its card.json alone; mostly empty."""
    doubt = FEW if card.get("few") else GUESSING
    return " ".join([doubt] * bool(card.get("guessing")) + [DRAWINGS] * bool(card.get("drawings")))


def _trained(card: dict[str, Any], split: dict[str, Any] | None, data: str) -> str:
    crop, size = card["crop_size"], card["image_size"]
    photo = f"of a photo scaled to {size}"
    if card.get("pixels") == "native":
        photo = f"of {size} x {size} cut from a larger photo around the face, without scaling"
    seen = "the middle" if card.get("score_crops", 1) == 1 else "the middle and the four corners, each"
    text = f"{card['approach']} ({card['network']}) sees {seen} {crop} x {crop} pixels {photo}."
    drawn = "drawings made by code, not photographs" if card.get("drawings") else ""
    if split is None:
        kind = f"It was trained on {drawn}; which ones" if drawn else "Which pictures it was trained on"
        return f"{text} {kind} is not known here."
    kind = f" ({drawn})" if drawn else ""
    train = split["train"]
    pictures = f"{train['real']} real and {train['fake']} computer-made pictures from {data}{kind}"
    return f"{text} It was trained on {pictures}."


def _errors(figures: dict[str, Figure], test: dict[str, int]) -> list[str]:
    value, low, high = figures["accuracy_at_threshold"]
    right = {kind: figures[f"accuracy_{kind}_at_threshold"][0] for kind in ("real", "fake")}
    wrong = {kind: round((1 - part) * test[kind]) for kind, part in right.items()}
    interval = "" if low is None or high is None else f" (95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    return [
        f"Of {test['real'] + test['fake']} test pictures of the same kind, not used in training, it classified "
        f"{100 * value:.1f} % correctly{interval}.",
        f"It called {wrong['real']} of {test['real']} real pictures fake and {wrong['fake']} of {test['fake']} fake ones real.",
    ]


def _figures(path: Path, approach: str) -> dict[str, Figure]:
    """As `results.all_figures`, without pandas, whose import takes 0.4 s."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["approach"] == approach and row["value"]]
    low, high = ([float(row[end]) if row[end] else None for row in rows] for end in ("low", "high"))
    values = [float(row["value"]) for row in rows]
    return dict(zip([row["figure"] for row in rows], zip(values, low, high, strict=True), strict=True))
