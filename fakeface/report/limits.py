"""What the results do not say, in plain words; every sentence is made from the figures it warns about."""

from collections.abc import Collection
from typing import Any

import pandas as pd

from fakeface.core.perturbations import KINDS, of_kind
from fakeface.report.results import FRAGILE, figure_of, fragile, guesses_clean, under_perturbation, verdicts_of


def limits(
    approach: str,
    drawings: bool,
    params: dict[str, Any],
    split: dict[str, Any],
    figures: pd.DataFrame,
    cells: pd.DataFrame,
    seeds: int,
) -> list[tuple[str, str]]:
    """Title and text of each limit of a detector, those that matter most first.

    Args:
        drawings: whether its card says that it was trained on them.
        params: of params.yaml, split.data, split.group_by and evaluate.extra_sets; seeds: trainings of each approach.
        split, figures, cells: as in `results.Results`.
    """
    found = [
        ("These images only", _images(approach, drawings, params["split"]["data"], split, figures)),
        ("Fragile", _fragile(approach, cells)),
        ("A score is not proof", _score(approach, figures)),
        ("Other generators", _generators(params["evaluate"]["extra_sets"])),
        ("Calibration", _calibration(approach, sum(split["val"].values()), figures)),
        ("Other trainings", _seeds(seeds)),
    ]
    if params["split"]["group_by"] == "none":
        text = "split.group_by is none: images of one photo are in both train and test, so figures on test are biased."
        found.insert(0, ("Leaky split", text))
    return [(title, text) for title, text in found if text]


def _images(approach: str, drawings: bool, data: str, split: dict[str, Any], figures: pd.DataFrame) -> str:
    test = split["test"]
    text = f"All figures are about {test['real']} real and {test['fake']} fake test images from {data}."
    if drawings:
        text += (
            " They are drawings made by code, and their fakes come from one small generator: the figures show that the"
            " pipeline works, and nothing about photographs of people."
        )
    figure = verdicts_of(figures, approach)
    if figure[0] == 1 and figure[1] is not None:
        text += f" {approach} classifies all of them correctly; with so few images, its accuracy is only shown to be"
        text += f" above {100 * figure[1]:.1f} %."
    return text


def _fragile(approach: str, cells: pd.DataFrame) -> str:
    accuracy = under_perturbation(cells, approach)
    lost = accuracy["clean"] - accuracy
    if guesses_clean(approach, cells):
        return f"{approach} is no better than guessing on the unchanged images of this test: perturbations cannot make it worse."
    most = fragile(approach, cells)
    if not most:
        return (
            f"{approach} loses at most {100 * float(lost.max()):.1f} points in the {len(lost) - 1} perturbations tried here. "
            "Others (screenshots, filters, other formats) were not tried."
        )
    kinds = {kind: [cell.name for cell in of_kind(kind) if cell.name != "clean"] for kind in KINDS}
    parts = [
        f"{kind} in {failed} of {len(names)} strengths"
        for kind, names in kinds.items()
        if (failed := int((lost[names] > FRAGILE).sum()))
    ]
    return (
        f"{most}. It loses more than {100 * FRAGILE:.0f} points in {int((lost > FRAGILE).sum())} of {len(lost) - 1} perturbations"
        f"{': ' if parts else ''}{', '.join(parts)}. A picture from the web has often been through them."
    )


def _score(approach: str, figures: pd.DataFrame) -> str:
    text = (
        "A score of 0.8 means: if half of all pictures are fake, about eight in ten pictures with that score are fake. "
        "It is not evidence about one picture, and never about a person."
    )
    figure = figure_of(figures, approach, "accuracy_real_at_threshold")
    if figure is None:
        return text
    value, low, _ = figure
    alarms = 1 - (value if low is None else low)
    return (
        f"{text} On test, {approach} may call up to {100 * alarms:.1f} % of the reals fake (95 % interval). If 1 picture in "
        f"100 is fake, 1000 pictures contain 10 fakes, and up to {round(990 * alarms)} of the reals would "
        "also be called fake."
    )


def _generators(sets: Collection[str]) -> str:
    text = "A detector learns the traces of the generators it was trained on; it may miss those of others."
    if not sets:
        return f"{text} No other generator was tried here (evaluate.extra_sets is empty)."
    return (
        f"{text} Other sets were scored without training again, {', '.join(sets)}: the table of generators shows them."
    )


def _calibration(approach: str, images: int, figures: pd.DataFrame) -> str:
    after, before = (figure_of(figures, approach, name) for name in ("ece", "ece_uncalibrated"))
    if after is None or before is None:
        return ""
    change = "more than" if after[0] > before[0] else "less than" if after[0] < before[0] else "the same as"
    return (
        f"{approach}'s scores are off by {100 * after[0]:.1f} points on average (expected calibration error on test), {change} "
        f"the {100 * before[0]:.1f} without the temperature, which was fitted on {images} val images. This holds for "
        "pictures like these."
    )


def _seeds(count: int) -> str:
    if count < 2:
        return (
            "Each approach was trained once. Another seed gives other weights and other figures, and the intervals do not "
            "include that; evaluate.seeds in params.yaml repeats the trainings."
        )
    return f"Each approach was trained {count} times, with other seeds but on one split; the models here are the first ones."
