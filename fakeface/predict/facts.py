"""What a detector was trained on and how often it errs: from its card, and from reports that are about this very model."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fakeface.core.errors import UserError
from fakeface.report.limits import SAMPLE, limits
from fakeface.report.results import Results
from fakeface.tracking.locks import workspace

DRAWINGS = "This detector was trained on drawings made by code. What it says about a photograph means nothing."
# What holds of every detector, for a model whose reports are not here.
GENERAL = [
    (
        "A score proves nothing",
        "It is no evidence about one picture, and none about a person: real photos are called fake, too.",
    ),
    (
        "Other pictures",
        "A detector knows the kind of pictures it was trained on. Of other cameras, faces and generators it may know nothing.",
    ),
    ("Fragile", "Saving as JPEG again, resizing, blur or a screenshot can change the score."),
]


@dataclass(frozen=True)
class Facts:
    """Sentences for the page. `errors` is empty where no test figures of this very model were found.

    `short`: who judges and how well; `warning`: said beside every verdict, mostly empty.
    """

    short: str
    warning: str
    trained: str
    errors: list[str]
    limits: list[tuple[str, str]]


def facts(card: dict[str, Any], root: Path = Path(".")) -> Facts:
    """What is known of the detector with this card, in the project at `root`.

    Reports count only if dvc.lock says that they were made from this model, byte by byte; otherwise they may be of another one.
    """
    from ruamel.yaml.error import YAMLError

    unknown = f"Judged by {card['approach']}; how often it errs is not known here."
    try:
        stages = workspace(root).stages
        split = json.loads((root / "reports/split/summary.json").read_text(encoding="utf-8"))
        if split["data_hash"] != card["data_hash"]:
            raise ValueError("another split")
        params = stages["split"]["params"]["params.yaml"]["split"]
        trained = _trained(card, split, params["data"])
        warning = DRAWINGS if params["data"] == SAMPLE else ""
    except (UserError, YAMLError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return Facts(unknown, "", _trained(card, None, ""), [], GENERAL)
    try:
        results = _results(card, stages, split, params, root)
        right = f"{100 * _figure(results, card, 'accuracy_at_threshold')[0]:.1f} %"
        short = (
            f"Judged by {card['approach']}, which called {right} of {sum(split['test'].values())} test pictures right."
        )
        return Facts(short, warning, trained, _errors(results, card), limits(results, card["approach"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return Facts(unknown, warning, trained, [], GENERAL)


def _trained(card: dict[str, Any], split: dict[str, Any] | None, data: str) -> str:
    crop, size = card["crop_size"], card["image_size"]
    text = f"{card['approach']} ({card['network']}) sees the middle {crop} x {crop} pixels of a photo scaled to {size}."
    if split is None:
        return f"{text} On which pictures it was trained is not known here."
    kind = " (drawings made by code, no photographs)" if data == SAMPLE else ""
    train = split["train"]
    return (
        f"{text} It was trained on {train['real']} real and {train['fake']} computer-made pictures from {data}{kind}."
    )


def _errors(results: Results, card: dict[str, Any]) -> list[str]:
    test = results.split["test"]
    value, low, high = _figure(results, card, "accuracy_at_threshold")
    wrong = {
        kind: round((1 - _figure(results, card, f"accuracy_{kind}_at_threshold")[0]) * test[kind])
        for kind in ("real", "fake")
    }
    interval = "" if low is None or high is None else f" (95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    return [
        f"Of {test['real'] + test['fake']} test pictures of the same kind, which it had not seen, it called "
        f"{100 * value:.1f} % right{interval}.",
        f"It called {wrong['real']} of {test['real']} real ones fake and {wrong['fake']} of {test['fake']} fake ones real.",
    ]


def _figure(results: Results, card: dict[str, Any], key: str) -> tuple[float, float | None, float | None]:
    found = results.figure(card["approach"], key)
    if found is None:
        raise ValueError(f"{key} is not among the figures")
    return found


def _results(
    card: dict[str, Any], stages: dict[str, Any], split: dict[str, Any], params: dict[str, Any], root: Path
) -> Results:
    """The reports on this model. Raises OSError, KeyError or ValueError where one is missing or about another model."""
    name = card["approach"]
    folder = root / "models" / name
    if json.loads((folder / "card.json").read_text(encoding="utf-8"))["sha256"] != card["sha256"]:
        raise ValueError("another model")
    for stage, file in (("evaluate", "figures.csv"), ("robustness", "table.csv")):
        path = f"reports/{stage}/{file}"
        deps, outs = ({one["path"]: one["md5"] for one in stages[stage][side]} for side in ("deps", "outs"))
        if deps[f"models/{name}"] != _folder_md5(folder) or outs[path] != _md5(root / path):
            raise ValueError(f"{path} is about another model")
    empty = pd.DataFrame()
    return Results(
        params={
            "split": params,
            "evaluate": {"extra_sets": sorted(key.partition("@")[2] for key in stages if key.startswith("extra@"))},
        },
        cards={name: card},
        costs={},
        figures=pd.read_csv(root / "reports/evaluate/figures.csv"),
        pairs=empty,
        split=split,
        audit={},
        cells=pd.read_csv(root / "reports/robustness/table.csv"),
        robustness={},
        errors=empty,
        seeds=json.loads((root / "reports/seeds/seeds.json").read_text(encoding="utf-8")),
        leak={},
    )


def _folder_md5(folder: Path) -> str:
    """DVC's hash of a folder without folders in it."""
    files = [{"md5": _md5(path), "relpath": path.name} for path in sorted(folder.iterdir())]
    return hashlib.md5(json.dumps(files, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
