"""What must be said before any figure: no better than guessing, one answer for all, few images, classes of unequal number."""

from collections.abc import Mapping

from fakeface.scoring.markdown import Figure, figure_text

CHANCE = 0.5
JUDGED = {"balanced_accuracy_at_threshold": "balanced accuracy", "roc_auc": "ROC-AUC"}
SMALL = 50  # images of a class
FEW = 10  # photos
UNEVEN = 1.2  # times as many of one class as of the other


def guessing(found: Mapping[str, Figure]) -> bool:
    """Whether an interval of balanced accuracy, at the threshold of the verdicts, or of ROC-AUC reaches down to chance.

    Args:
        found: figure -> value and interval; without one, as where all images are called alike, the value itself counts.
    """
    of = [found[name] for name in JUDGED if name in found]
    return any((value if low is None else low) <= CHANCE for value, low, _ in of)


def constant(found: Mapping[str, Figure]) -> str:
    """The one answer that all images get, real or fake; empty where there are both, or images of one class only."""
    recalls = [found.get(f"accuracy_{kind}_at_threshold", (-1.0,))[0] for kind in ("real", "fake")]
    return {(1.0, 0.0): "real", (0.0, 1.0): "fake"}.get((recalls[0], recalls[1]), "")


def cautions(found: Mapping[str, Mapping[str, Figure]], reals: int, fakes: int, photos: int) -> list[str]:
    """Sentences on the approaches and on the test set, the gravest first; empty where there is nothing to say.

    Args:
        found: approach -> figure -> value and interval. reals, fakes, photos: of the test set.
    """
    said = []
    for name, figures in found.items():
        if guessing(figures):
            one = f", it calls every image {constant(figures)}" if constant(figures) else ""
            of = [
                f"{words} {figure_text(figures[key], key != 'roc_auc')}"
                for key, words in JUDGED.items()
                if key in figures
            ]
            said.append(f"{name} is no better than guessing here{one}: {', '.join(of)}; chance is 50 % and 0.5.")
    if not reals or not fakes:
        there, answer = ("fakes", "fake") if fakes else ("reals", "real")
        said.append(
            f"There are only {there}: whatever calls every image {answer} has 100 % here. No approach is compared."
        )
    few = [f"{n} {kind}" for n, kind in ((reals, "reals"), (fakes, "fakes")) if 0 < n < SMALL]
    if few or photos < FEW:
        n = min(photos, *(count for count in (reals, fakes) if count))
        said.append(
            f"A small test set: {reals} reals and {fakes} fakes of {photos} photos. If all {n} of a class are called right, up "
            f"to {100 * min(1.0, 3 / n):.0f} % of such pictures may still be called wrong (rule of three){_widest(found)}."
        )
    return said + unequal("The test set has", reals, fakes)


def unequal(where: str, reals: int, fakes: int) -> list[str]:
    """A sentence where one class has many more images, and what an answer that knows nothing would then get right."""
    most, all_of_them = max(reals, fakes), reals + fakes
    if not min(reals, fakes) or most < UNEVEN * min(reals, fakes):
        return []
    return [
        f"{where} {reals} reals and {fakes} fakes: to call everything {'real' if reals > fakes else 'fake'} is right for "
        f"{100 * most / all_of_them:.1f} % of them. So read the balanced accuracy, the mean over the classes; chance is 50 %."
    ]


def _widest(found: Mapping[str, Mapping[str, Figure]]) -> str:
    of = [figures.get("balanced_accuracy_at_threshold", (0, None, None)) for figures in found.values()]
    widths = [high - low for _, low, high in of if low is not None and high is not None]
    return f"; the intervals are up to {100 * max(widths):.0f} points wide" if widths else ""
