"""Every generator and every further test folder by approach, and trainings without a generator: values for the template."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from fakeface.report.results import ExtraSet, Results, all_figures
from fakeface.report.view import as_text
from fakeface.scoring.cautions import CHANCE
from fakeface.scoring.markdown import Figure

AREA = "roc_auc"


def cross_table(results: Results) -> dict[str, Any]:
    """`fakes`: a row for each group of fakes, its ROC-AUC and recall; `reals`: one for each group of reals, the part called fake.

    A row has `words`, `images`, `note` and a cell an approach. Sub-folders are under the set that they are of.
    """
    names = list(results.cards)
    tables: dict[str, list[dict[str, Any]]] = {}
    for kind in ("fake", "real"):
        folder = results.params["split"][kind]
        rows = [_all("test set", names, results.figures, kind, results.split["test"][kind])]
        rows += _folders(results.folders, names, kind, folder)
        for name, extra in results.extra.items():
            if extra.images[kind]:
                row = _all(name, names, extra.figures, kind, extra.images[kind]) | {"note": _seen(extra)}
                rows += [row, *_folders(extra.metrics.get("by_folder", {}), names, kind, folder)]
        tables[f"{kind}s"] = rows
    guessing = any(cell["guessing"] for row in tables["fakes"] for cell in row["cells"])
    return {**tables, "guessing": guessing}


def leave_out(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each approach the generators that it was scored on, and a row for each training: on all of them, and without one."""
    tables = []
    for name, of in found.items():
        scored = list(of["trained_on_all"])
        trainings = [("all", "", of["trained_on_all"])]
        trainings += [(f"all but {left}", left, figures) for left, figures in of["trained_without"].items()]
        rows = [
            {
                "words": words,
                "cells": [
                    _cell(_figure(on[key], AREA), _figure(on[key], "balanced_accuracy")) | {"left_out": key == left}
                    for key in scored
                ],
            }
            for words, left, on in trainings
        ]
        mean, worst = (f"{of['left_out'][key]:.3f}" for key in ("mean_roc_auc", "worst_roc_auc"))
        tables.append({"name": name, "scored": scored, "rows": rows, "mean": mean, "worst": worst})
    return tables


def _all(words: str, names: list[str], figures: pd.DataFrame, kind: str, images: int) -> dict[str, Any]:
    """The row of a whole set."""
    found = [all_figures(figures, name) for name in names]
    cells = [_cell(of.get(AREA), of.get(f"accuracy_{kind}_at_threshold"), kind) for of in found]
    return {"words": words, "images": images, "note": "", "inside": False, "cells": cells}


def _folders(rows: Mapping[str, Any], names: list[str], kind: str, inside: str) -> list[dict[str, Any]]:
    """The rows of a set's sub-folders (`scoring.folders.by_folder`), named as they are below the class folder."""
    return [
        {
            "words": folder.removeprefix(f"{kind}: ").removeprefix(f"{inside}/"),
            "images": row["images"],
            "note": "",
            "inside": True,
            "cells": [
                _cell(_figure(of, AREA), _figure(of, "recall"), kind, of.get("guessing", False))
                for of in map(row.__getitem__, names)
            ],
        }
        for folder, row in rows.items()
        if folder.startswith(f"{kind}: ")
    ]


def _cell(area: Figure | None, share: Figure | None, kind: str = "fake", guessing: bool = False) -> dict[str, Any]:
    """Both as text, None where there is none; of reals the share called fake. `guessing`: the row says so, as of too few
    images, or the AUC may be chance."""
    if share and kind == "real":
        value, low, high = share
        share = (1 - value, None if high is None else 1 - high, None if low is None else 1 - low)
    low = None if area is None else area[0] if area[1] is None else area[1]
    return {
        "auc": as_text(area, 1, 3),
        "share": as_text(share, 100, 1),
        "guessing": guessing or (low is not None and low <= CHANCE),
        "left_out": False,
    }


def _figure(row: Mapping[str, float | None], key: str) -> Figure | None:
    value = row.get(key)
    return None if value is None else (value, row.get(f"{key}_low"), row.get(f"{key}_high"))


def _seen(extra: ExtraSet) -> str:
    seen = extra.metrics["images_seen_in_training"]
    return f"{seen} of {sum(extra.images.values())} images were seen in training: too optimistic" if seen else ""
