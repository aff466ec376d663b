"""The pictures, from training images to intervals. Matplotlib without a global state or a window."""

from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fakeface.core.files import whole
from fakeface.core.params import APPROACHES
from fakeface.core.perturbations import KINDS, of_kind
from fakeface.detector.networks import CLASSES

# Okabe and Ito: told apart by all eyes
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
COLOURS = dict(zip(APPROACHES, cycle(PALETTE), strict=False))
RIGHT, WRONG = "#1a7f37", "#cf222e"


def save(folder: Path | str, figures: dict[str, Figure]) -> None:
    """`<name>.png` of each in the folder, which is replaced; 110 dpi, without the version that would change the bytes."""
    with whole(folder) as partial:
        partial.mkdir()
        for name, figure in figures.items():
            figure.savefig(partial / f"{name}.png", dpi=110, metadata={"Software": None})


def _tiles(lines: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    """A figure of `lines` x `columns` places for images, `width` x `height` inches in all, and its axes [lines, columns]."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    return figure, axes


def training_images(pixels: np.ndarray, labels: np.ndarray, rows: np.ndarray, per_class: int = 8) -> Figure:
    """One row of real and one of fake training images, with their labels."""
    figure, axes = _tiles(2, per_class, 1.5 * per_class, 3.5)
    for label in (0, 1):
        for axis, row in zip(axes[label], rows[labels[rows] == label], strict=False):
            axis.imshow(pixels[row].transpose(1, 2, 0))
            axis.set_title(CLASSES[label], fontsize=9)
    figure.suptitle("Training images")
    return figure


def curves(histories: dict[str, pd.DataFrame]) -> Figure:
    """Loss and accuracy against epochs, all approaches in one picture: train dashed, val solid."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    for name, history in histories.items():
        epochs = history["epoch"] / history["epoch"].max() * 100 if len(histories) > 1 else history["epoch"]
        label = f"{name} ({len(history)} epochs)"
        marker = "o" if len(history) < 30 else None
        for axis, key in ((loss, "loss"), (accuracy, "accuracy")):
            axis.plot(epochs, history[f"train_{key}"], "--", color=COLOURS.get(name), alpha=0.5, linewidth=1)
            axis.plot(epochs, history[f"val_{key}"], color=COLOURS.get(name), label=label, marker=marker, markersize=3)
    for axis, key in ((loss, "cross entropy"), (accuracy, "accuracy")):
        axis.set_xlabel("training done, %" if len(histories) > 1 else "epoch")
        axis.set_ylabel(key)
        axis.grid(alpha=0.3)
    loss.set_ylim(bottom=0)
    accuracy.set_ylim(top=1.01)
    accuracy.legend()
    loss.set_title("Loss (dashed: train, solid: val)")
    accuracy.set_title("Accuracy (dashed: train, solid: val)")
    return figure


def prediction_grid(
    pixels: np.ndarray, labels: np.ndarray, scores: np.ndarray, rows: np.ndarray, title: str, threshold: float
) -> Figure:
    """Images with their score of fake, framed green where right and red where wrong, at `threshold`.

    Args:
        pixels: uint8 [N, 3, S, S]; `rows`: which of them to show; `labels`, `scores`: [len(rows)], in the order of `rows`.
    """
    columns = min(8, len(rows))
    lines = -(-len(rows) // columns)
    figure, axes = _tiles(lines, columns, 1.5 * columns, 1.78 * lines + 0.5)
    for axis, row, label, score in zip(axes.flat, rows, labels, scores, strict=False):
        predicted = int(score >= threshold)
        colour = RIGHT if predicted == label else WRONG
        image = pixels[row].transpose(1, 2, 0)
        axis.axis("on")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.imshow(image)
        for spine in axis.spines.values():
            spine.set(edgecolor=colour, linewidth=3)
        sign = "=" if predicted == label else "≠"
        axis.set_title(f"{CLASSES[predicted]} {sign} {CLASSES[label]}  {score:.2f}", fontsize=8, color=colour)
    figure.suptitle(f"{title}: predicted, true, probability of fake", fontsize=11)
    return figure


def roc(labels: np.ndarray, scores: dict[str, np.ndarray], areas: dict[str, float]) -> Figure:
    """ROC curves of all approaches; the areas come from the metrics, so that figure and table agree."""
    from sklearn.metrics import roc_curve  # here: the curves alone, which training stages draw, do without

    figure = Figure(figsize=(9.6, 5), layout="constrained")
    whole, low = figure.subplots(1, 2)
    for name, values in scores.items():
        false_positive, true_positive, _ = roc_curve(labels, values)
        for axis in (whole, low):
            axis.plot(false_positive, true_positive, color=COLOURS.get(name), label=f"{name}, area {areas[name]:.4f}")
    whole.plot([0, 1], [0, 1], ":", color="grey", label="chance")
    whole.set(title="ROC on the test set", aspect="equal", xlim=(-0.01, 1.01))
    low.set(title="its left edge: few reals called fake", xlim=(-0.001, 0.1), box_aspect=1)
    for limit in (0.01, 0.05):
        low.axvline(limit, linestyle=":", color="grey")
    for axis in (whole, low):
        axis.set(xlabel="reals called fake", ylabel="fakes called fake", ylim=(-0.01, 1.01))
        axis.grid(alpha=0.3)
    whole.legend(loc="lower right")
    return figure


def reliability(labels: np.ndarray, before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> Figure:
    """Can the scores be taken for probabilities? Part of fakes among the images of each bin of scores, a picture an approach.

    Args:
        labels: int [N]; `before`, `after`: approach -> scores [N] at temperature 1 and at the one fitted on val.
    """
    from fakeface.scoring import metrics  # sklearn: as in `roc`

    figure = Figure(figsize=(3.6 * len(after), 4), layout="constrained")
    for axis, name in zip(figure.subplots(1, len(after), squeeze=False)[0], after, strict=True):
        axis.plot([0, 1], [0, 1], ":", color="grey")
        errors = []
        for scores, style, faint in ((before[name], "--", 0.45), (after[name], "-", 1.0)):
            count, mean, part = metrics.reliability(labels, scores)
            used = count > 0
            colour = COLOURS.get(name)
            axis.plot(mean[used], part[used], style, color=colour, alpha=faint)
            axis.scatter(mean[used], part[used], s=6 + 150 * count[used] / len(labels), color=colour, alpha=faint)
            errors.append(metrics.expected_calibration_error(labels, scores))
        axis.set(xlabel="probability of fake", ylabel="part that is fake", aspect="equal")
        axis.set_title(f"{name}, ECE {errors[0]:.3f} → {errors[1]:.3f}", fontsize=10)
        axis.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
        axis.grid(alpha=0.3)
    title = f"Reliability on {len(labels)} test images (dashed: temperature 1, solid: calibrated; large points: many images)"
    figure.suptitle(title, fontsize=11)
    return figure


def confusion(labels: np.ndarray, scores: dict[str, np.ndarray], thresholds: dict[str, float]) -> Figure:
    """A confusion matrix an approach, in images, at its threshold."""
    from sklearn.metrics import confusion_matrix

    figure = Figure(figsize=(3.2 * len(scores), 3.2), layout="constrained")
    for axis, (name, values) in zip(figure.subplots(1, len(scores), squeeze=False)[0], scores.items(), strict=True):
        matrix = confusion_matrix(labels, values >= thresholds[name], labels=[0, 1])
        axis.imshow(matrix, cmap="Blues", vmin=0, vmax=matrix.sum(1).max())
        for (i, j), count in np.ndenumerate(matrix):
            dark = count > 0.6 * matrix.sum(1).max()
            axis.text(j, i, str(count), ha="center", va="center", color="white" if dark else "black", fontsize=14)
        axis.set(
            xticks=[0, 1], yticks=[0, 1], xticklabels=CLASSES, yticklabels=CLASSES, xlabel="predicted", ylabel="true"
        )
        axis.set_title(name)
    return figure


def perturbation_curves(table: pd.DataFrame, kind: str) -> Figure:
    """Accuracy against the strength of one kind of perturbation, all approaches: at 0.5 solid, at the val threshold dashed.

    Args:
        table: a row for each approach and cell, with `accuracy` and `accuracy_at_threshold` (fractions).
    """
    cells = of_kind(kind)
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    for i, (name, rows) in enumerate(table.set_index("cell").groupby("approach", sort=False)):
        rows = rows.loc[[cell.name for cell in cells]]
        places, colour = range(len(cells)), COLOURS.get(str(name))
        # thinner one after the other: if curves coincide, all of them are visible
        style: dict[str, Any] = {
            "marker": "osD^v"[i % 5],
            "markersize": max(4, 10 - 3 * i),
            "linewidth": max(1.5, 4 - i),
        }
        axis.plot(places, rows["accuracy"], color=colour, label=name, **style)
        axis.plot(places, rows["accuracy_at_threshold"], "--", color=colour, linewidth=1, alpha=0.7)
    axis.axhline(0.5, linestyle=":", color="grey", label="chance")
    axis.set_xticks(range(len(cells)), ["clean", *(f"{cell.steps[0][1]:g}" for cell in cells[1:])])
    least = table[["accuracy", "accuracy_at_threshold"]].to_numpy().min()
    axis.set(xlabel=KINDS[kind], ylabel="accuracy", ylim=(min(0.45, least - 0.05), 1.02))  # one scale in all pictures
    axis.set_title("Perturbed test images (solid: at 0.5, dashed: at the val threshold)")
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


def perturbed_examples(images: dict[str, np.ndarray]) -> Figure:
    """One image in every cell: name -> uint8 [3, S, S]."""
    columns = 6
    lines = -(-len(images) // columns)
    figure, axes = _tiles(lines, columns, 2 * columns, 2.3 * lines)
    for axis, (name, image) in zip(axes.flat, images.items(), strict=False):
        axis.imshow(image.transpose(1, 2, 0))
        axis.set_title(name, fontsize=9)
    return figure
