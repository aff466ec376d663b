"""A detector's model card (Mitchell et al. 2019, arXiv:1810.03993) in Markdown, filled from what the pipeline measured."""

import io
import json
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from fakeface.core.code import version
from fakeface.core.errors import UserError
from fakeface.core.params import APPROACHES
from fakeface.core.perturbations import CELLS
from fakeface.detector.checkpoints import read_card
from fakeface.report.cards import best_on_val, doubts_of
from fakeface.report.results import VERDICTS, all_figures, cell_words
from fakeface.scoring.cautions import cautions
from fakeface.scoring.markdown import PER_CENT, PLAIN, figure_text

FIGURES = ("balanced_accuracy_at_threshold", "accuracy_real_at_threshold", "accuracy_fake_at_threshold", "accuracy",
           "average_precision", "roc_auc", "eer", "ece", "log_loss")  # fmt: skip


def model_card(
    card: dict[str, Any], data: str, split: dict[str, Any], figures: pd.DataFrame, robustness: dict[str, Any]
) -> str:
    """The filled template `templates/model_card.md`; the same values give the same text.

    Args:
        card: card.json of the detector.
        data: `split.data` of params.yaml. Of drawings it is known who is in them, of others the card asks.
        split: reports/split/summary.json. figures: reports/evaluate/figures.csv. robustness: reports/robustness/metrics.json.
    """
    rows = figures[figures["approach"] == card["approach"]].set_index("figure")
    of_reals = rows.loc["accuracy_real_at_threshold"]
    low = of_reals["value"] if pd.isna(of_reals["low"]) else of_reals["low"]
    environment = jinja2.Environment(  # noqa: S701 - Markdown for the reader of a repository, not HTML
        loader=jinja2.PackageLoader("fakeface.report", "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    labels = PER_CENT | PLAIN
    words = {cell.name: cell_words(cell) for cell in CELLS}
    measured = robustness[card["approach"]]
    lost = next(measured[name] for name in VERDICTS if name in measured)
    test = split["test"]
    found = {card["approach"]: all_figures(figures, card["approach"])}
    return environment.get_template("model_card.md").render(
        card=card,
        version=version(),
        data=data,
        sample=bool(card.get("drawings")),
        cautions=doubts_of(card["approach"], card) + cautions(found, test["real"], test["fake"], sum(test.values())),
        split=split,
        figures=[(labels[name], _cell(rows.loc[name])) for name in FIGURES if name in rows.index],
        false_alarms=float(1 - low),
        lost=lost | {"worst_words": words[lost["worst_cell"]]},
        json=json.dumps(card, indent=2, ensure_ascii=False),
    )


def card_of(approach: str | None, data: str) -> str:
    """The card of `models/<approach>`, or of the best by val for None, from the reports in the working folder.

    Raises:
        UserError: no such approach, its model is missing or damaged, or a report is missing.
    """
    if approach is not None and approach not in APPROACHES:
        raise UserError(f"{approach}: no such approach; allowed here: {', '.join(APPROACHES)}")
    cards = {name: read_card(Path("models", name)) for name in ([approach] if approach else APPROACHES)}
    names = ("split/summary.json", "evaluate/figures.csv", "robustness/metrics.json")
    try:
        split, figures, robustness = (Path("reports", name).read_text(encoding="utf-8") for name in names)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: is missing; run `dvc repro` first") from None
    table = pd.read_csv(io.StringIO(figures))
    return model_card(cards[approach or best_on_val(cards)], data, json.loads(split), table, json.loads(robustness))


def _cell(row: "pd.Series[Any]") -> str:
    return (
        "not given by this test set"
        if pd.isna(row["value"])
        else figure_text((row["value"], row["low"], row["high"]), False)
    )
