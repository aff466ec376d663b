"""What several seeds say: how far an approach's accuracy moves when nothing but the seed of its training changes.

`accuracies` is everywhere approach -> accuracy at 0.5 of each training on the same test images, in the order of the seeds.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from fakeface.scoring.markdown import markdown_table

Accuracies = Mapping[str, Sequence[float]]
WIDTH = 3.92  # standard errors in a 95 % interval


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1 in the denominator), which one value alone does not have."""
    return round(statistics.mean(values), 6), round(statistics.stdev(values), 6) if len(values) > 1 else None


def seed_metrics(accuracies: Accuracies) -> dict[str, Any]:
    """For seeds.json: the number of seeds, and for each approach its accuracies with their mean and standard deviation."""
    approaches = {}
    for name, values in accuracies.items():
        mean, sd = mean_and_sd(values)
        approaches[name] = {"accuracy": list(values), "mean": mean, "sd": sd}
    return {"seeds": len(next(iter(accuracies.values()))), "approaches": approaches}


def markdown(accuracies: Accuracies, seeds: Sequence[int], photos: Mapping[str, tuple[float, float] | None]) -> str:
    """For people: the trainings side by side, and beside the spread over seeds how far other photos would move the accuracy.

    Args:
        seeds: of the trainings, the pipeline's own first.
        photos: approach -> the 95 % interval over photos of the first training's accuracy, where there is one.
    """
    first, count = seeds[0], len(seeds)
    if count == 1:
        return (
            f"One training of each approach (seed {first}): how far another seed would move its accuracy is not known. "
            "`evaluate.seeds: [1, 2]` in params.yaml trains each twice more.\n"
        )
    means, deviations = zip(*map(mean_and_sd, accuracies.values()), strict=True)
    columns = dict(zip(map(str, seeds), zip(*accuracies.values(), strict=True), strict=True))
    columns |= {"**mean**": means, "**standard deviation**": deviations}
    rows = [[name, *(f"{100 * value:.1f}" for value in values)] for name, values in columns.items()]
    lines = [
        f"# {count} trainings of each approach, seeds {', '.join(map(str, seeds))}, on the same split\n",
        "Accuracy on the test images in per cent.\n",
        markdown_table(["seed", *accuracies], rows) + "\n",
        *(f"- {_sentence(name, values, first, photos[name])}" for name, values in accuracies.items()),
        "\nAn interval over photos says nothing about other seeds, and the spread over seeds nothing about other photos. "
        f"{count} trainings tell a standard deviation only roughly.\n",
    ]
    return "\n".join(lines)


def _sentence(name: str, values: Sequence[float], first: int, span: tuple[float, float] | None) -> str:
    _, sd = mean_and_sd(values)
    said = f"{name}: {100 * min(values):.1f} to {100 * max(values):.1f} % over the seeds"
    if span is None or sd is None or span[0] == span[1]:
        return f"{said}."
    low, high = span
    error = (high - low) / WIDTH
    word = "less than" if sd < error / 2 else "more than" if sd > 2 * error else "about as much as"
    return (
        f"{said}; the 95 % interval over photos of seed {first} alone is {100 * low:.1f} to {100 * high:.1f} %. Another seed "
        f"moves it {word} other photos do: standard deviation {100 * sd:.1f} against {100 * error:.1f} points."
    )
