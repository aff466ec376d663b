"""What the report page says: results in, values for the template out."""

import math
from typing import Any

import pandas as pd

from fakeface.core.perturbations import CELLS
from fakeface.report.cards import best_on_val, doubts_of, val_accuracy
from fakeface.report.results import (
    VERDICTS,
    Results,
    all_figures,
    cell_words,
    figure_of,
    fragile,
    per_cent,
    verdicts_of,
)
from fakeface.scoring.cautions import cautions, guessing, unequal
from fakeface.scoring.folders import Rows, row_text
from fakeface.scoring.markdown import PER_CENT, PLAIN, Figure

# The rows of the comparison; all others are in reports/evaluate/table.md.
ROWS = ("balanced_accuracy_at_threshold", "accuracy_real_at_threshold", "accuracy_fake_at_threshold", "accuracy",
        "tpr_at_1pct_fpr", "average_precision", "roc_auc", "ece", "log_loss", "threshold", "temperature")  # fmt: skip


def answer(results: Results) -> dict[str, Any]:
    """The first screen: which approach, how good, how sure, at what cost."""
    best = best_on_val(results.cards)
    standing = against(results.pairs, best)
    val = {name: val_accuracy(card) for name, card in results.cards.items()}
    of = {word: [name for name, found in standing.items() if found == word] for word in ("better", "even", "worse")}
    verdicts = []
    if of["worse"]:
        verdicts.append(f"on the test set {_and(of['worse'])} did better than {best}: the validation set chose wrongly")
    if of["even"]:
        verdicts.append(f"{_and([best, *of['even']])} cannot be told apart on these images")
    if of["better"]:
        verdicts.append(f"{best} is shown to be better than {_and(of['better'])}")
    sentences = [
        {"word": {"better": "Better", "even": "No difference", "worse": "Worse"}[found], "text": text,
         "status": {"better": "pass", "even": "warn", "worse": "fail"}[found]}
        for name, found in standing.items()
        for text in results.pairs.loc[results.pairs[["a", "b"]].isin([best, name]).all(axis=1), "sentence"]
    ]  # fmt: skip
    loss = results.cards[best]["metrics"]["val_loss"]
    ties = [
        name
        for name in val
        if name != best and val[name] == val[best] and loss <= results.cards[name]["metrics"]["val_loss"]
    ]
    return {
        "best": best,
        "network": results.cards[best]["network"],
        "val": per_cent(val[best]),
        "uneven": "val_balanced_accuracy" in results.cards[best]["metrics"],
        "val_images": sum(results.split["val"].values()),
        "ties": _and(ties),
        "accuracy": as_text(verdicts_of(results.figures, best), 100, 1),
        "threshold": f"{results.cards[best]['threshold']:.3f}",
        "guessing": guessing(all_figures(results.figures, best)) or _guesses(results.cards[best]),
        "cautions": warnings(results, best),
        "verdict": _sentence("; ".join(verdicts)),
        "standing": "val chose wrongly"
        if of["worse"]
        else f"level with {_and(of['even'])}"
        if of["even"]
        else "better than all",
        "fragile": fragile(best, results.cells),
        "sentences": sentences,
        "minutes": minutes(results.costs[best]),
        "machine": (results.costs[best] or {}).get("machine"),
        "cheapest": cheapest(best, of["even"] + of["worse"], results.costs),
    }


def _guesses(card: dict[str, Any]) -> bool:
    """Whether val says so; where val is too small to say, the page tells that instead (`cards.doubts_of`)."""
    return bool(card.get("guessing")) and not card.get("few")


def warnings(results: Results, best: str) -> list[str]:
    """Sentences that come before the figures, those on `best` first."""
    test, train = results.split["test"], results.split["train"]
    names = [best, *(name for name in results.cards if name != best)]
    found = {name: all_figures(results.figures, name) for name in names}
    said = doubts_of(best, results.cards[best])
    said += cautions(found, test["real"], test["fake"], int(results.pairs["photos"].iloc[0]))
    if not unequal("", test["real"], test["fake"]):
        said += unequal("Training had", train["real"], train["fake"])
    return said


def against(pairs: pd.DataFrame, best: str) -> dict[str, str]:
    """other approach -> what the tests show of `best` against it: better, worse or even."""
    found = {}
    for row in pairs.to_dict("records"):
        if best in (row["a"], row["b"]):
            lead, other = (row["difference"], row["b"]) if row["a"] == best else (-row["difference"], row["a"])
            found[str(other)] = ("better" if lead > 0 else "worse") if row["shown"] else "even"
    return found


def cheapest(best: str, others: list[str], costs: dict[str, dict[str, Any] | None]) -> str:
    """A sentence about the least minutes among `best` and the `others`, which are not shown to be worse."""
    measured = {name: cost["minutes"] for name in [best, *others] if (cost := costs[name])}
    unknown = [name for name in [best, *others] if name not in measured]
    if unknown:
        return f"Which one is the cheapest is not known: the cost of {_and(unknown)} was not measured."
    if not others:
        return f"There is no cheaper alternative: each other approach is shown to be worse than {best}."
    least = min(measured, key=lambda name: (measured[name], name != best))
    if least == best:
        return f"{best} is also the cheapest of those not shown to be worse."
    return (
        f"{least} is the cheapest approach not shown to be worse than {best}: "
        f"{minutes(costs[least])} of training against {minutes(costs[best])}."
    )


def minutes(cost: dict[str, Any] | None) -> str:
    """A training's cost as text."""
    if cost is None:
        return "not measured"
    spent = cost["minutes"]
    return "under 0.1 minutes" if spent < 0.1 else f"{spent:.1f} minute{'' if spent == 1 else 's'}"


def comparison(results: Results) -> dict[str, Any]:
    """The table of all figures, a row a figure; bars of accuracy; the leak where it was measured."""
    names = list(results.cards)
    rows: list[dict[str, Any]] = []
    labels = PER_CENT | PLAIN
    for figure in ROWS:
        factor, digits, unit = (100, 1, " %") if figure in PER_CENT else (1, 3, "")
        found = [as_text(figure_of(results.figures, name, figure), factor, digits) for name in names]
        cells = [cell and cell | {"value": cell["value"] + unit} for cell in found]
        rows.append({"words": labels[figure], "cells": cells})
    cards = results.cards.values()
    for words, texts in {
        "network": [f"{card['network']}, weights {card['weights']}, {card['crop_size']} pixels" for card in cards],
        "accuracy on val": [
            f"{per_cent(val_accuracy(card))} %{' balanced' * ('val_balanced_accuracy' in card['metrics'])}"
            for card in cards
        ],
        "training": [minutes(cost) for cost in results.costs.values()],
        "epochs (kept)": [f"{card['metrics']['epochs']} ({card['metrics']['best_epoch']})" for card in cards],
    }.items():
        rows.append({"words": words, "cells": [{"value": text, "interval": ""} for text in texts]})
    accuracies = {name: verdicts_of(results.figures, name) for name in names}
    start = min(low if low is not None else value for value, low, _ in accuracies.values())
    start = max(0, int(start * 10) / 10)  # a round number, so that the bars use their room
    return {
        "names": names,
        "rows": rows,
        "bars": [_bar(name, *accuracies[name], start) for name in names],
        "start": f"{100 * start:.0f}",
        "sentences": results.pairs["sentence"].tolist(),
        "leak": leak(results.leak),
    }


def leak(found: dict[str, Any]) -> list[dict[str, str]]:
    """What a leaky split would have shown; empty where it was not measured."""
    names = {"grouped": "split by photo", "none": "random split"}
    twins = {"twin_in_train": "... images with a twin in train", "no_twin_in_train": "... images without"}
    rows = []
    for name, of in found.items():
        parts = [(words, of.get(key)) for key, words in names.items()]
        parts += [(words, of.get("none", {}).get(key)) for key, words in twins.items()]
        parts.append(("difference in points, random split minus the other", of.get("difference")))
        for words, part in parts:
            if part and part.get(VERDICTS[0]) is not None:
                span = part.get("interval") or (None, None)
                shown = as_text((part[VERDICTS[0]], *span), 100, 1) or {}
                rows.append({"name": name, "words": words, "n": f"{part.get('n', '')}", **shown})
    return rows


def by_folder(rows: Rows, names: list[str]) -> list[dict[str, Any]]:
    """Sub-folders, each with its images and a text an approach."""
    return [{"words": folder, "images": row["images"], "cells": [row_text(row[name]) for name in names]}
            for folder, row in rows.items()]  # fmt: skip


def robustness(results: Results) -> dict[str, Any]:
    """Balanced accuracy of the verdicts in every cell; `tint`: 0 to 60, the more the more is lost against clean."""
    names, verdicts = list(results.cards), VERDICTS[0]
    by = {(row["approach"], row["cell"]): row for row in results.cells.to_dict("records")}
    rows = []
    for cell in CELLS:
        found = [(by[name, cell.name], by[name, "clean"][verdicts]) for name in names]
        cells = [
            {"tint": round(120 * min(0.5, max(0, clean - row[verdicts]))),
             **(as_text((row[verdicts], row["low"], row["high"]), 100, 1) or {})}
            for row, clean in found
        ]  # fmt: skip
        rows.append({"words": cell_words(cell), "cells": cells})
    means = [per_cent(results.robustness[name][verdicts]["mean"]) for name in names]
    folders = by_folder(results.robustness.get("by_folder", {}), names)
    return {"rows": rows, "folders": folders, "means": means, "images": by[names[0], "clean"]["images"]}


def audit(results: Results) -> dict[str, Any]:
    """The probes of the audit against their limits, which are above, and its warnings in words.

    `overridden`: a probe that stops a run is above, and audit.on_shortcut let it continue.
    """
    rows = []
    for name, accuracy in results.audit["balanced_accuracy"].items():
        limit = results.params["audit"].get(f"max_{name}", results.params["audit"]["max_picture"])
        low, high = results.audit["interval_95"][name]
        bar = None if accuracy is None else _bar(name, accuracy, low, high, 0.5)
        above = low is not None and low > limit
        rows.append({"name": name.replace("_", " "), "limit": limit, "bar": bar, "above": above,
                     "mark": round(200 * limit - 100, 1), "value": as_text((accuracy or 0.0, low, high), 1, 3)})  # fmt: skip
    above = [row["name"] for row in rows if row["above"]]
    overridden = results.params["audit"]["on_shortcut"] == "warn" and not {"metadata", "file size"}.isdisjoint(above)
    return {"rows": rows, "above": _and(above), "overridden": overridden, "warnings": results.audit.get("findings", [])}


def errors(found: pd.DataFrame, names: list[str], shown: int) -> dict[str, Any]:
    """How many test images each approach gets wrong at its threshold, the hardest of them, and those all get wrong."""
    rows = []
    for name in names:
        of = found[found["approach"] == name]
        hardest = [
            {"path": str(row["path"]), "truth": ("real", "fake")[row["label"]], "score": f"{row['score']:.3f}"}
            for row in of.head(shown).to_dict("records")
        ]
        fake = int((of["label"] == 1).sum())
        rows.append({"name": name, "count": len(of), "real": len(of) - fake, "fake": fake, "hardest": hardest})
    by_all = found.groupby("path")["approach"].nunique()
    return {"rows": rows, "by_all": int((by_all == len(names)).sum())}


def as_text(figure: Figure | None, factor: int, digits: int) -> dict[str, str] | None:
    """Value and interval as text; an interval of None or NaN is none."""
    if figure is None:
        return None
    value, low, high = figure
    span = (
        ""
        if low is None or high is None or math.isnan(low)
        else f"{factor * low:.{digits}f} to {factor * high:.{digits}f}"
    )
    return {"value": f"{factor * value:.{digits}f}", "interval": span}


def _bar(name: str, value: float, low: float | None, high: float | None, start: float) -> dict[str, Any]:
    """Places on a scale of 100 from `start` to 1."""

    def place(x: float) -> float:
        return round(100 * min(1, max(0, (x - start) / (1 - start))), 1) if start < 1 else 100.0

    left, right = (place(value if x is None else x) for x in (low, high))
    return {"name": name, "left": left, "width": round(max(right - left, 1), 1), "at": min(place(value), 99.0),
            **(as_text((value, low, high), 100, 1) or {})}  # fmt: skip


def _and(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _sentence(text: str) -> str:
    return f"{text}." if text else ""
