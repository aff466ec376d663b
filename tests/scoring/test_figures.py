"""Pictures: the same bytes for the same data, and green means right."""

import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from fakeface.scoring import figures

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 3, 24, 24), dtype=np.uint8)
LABELS = np.array([0, 1] * 6)
SCORES = np.array([0.1, 0.9, 0.8, 0.2, 0.5, 0.5, 0.49, 0.51, 0.0, 1.0, 0.3, 0.7])
GREEN, RED = "#1a7f37", "#cf222e"


def history(epochs):
    e = np.arange(1, epochs + 1)
    rows = {"epoch": e, "lr": 0.1, "train_loss": 1 / e, "val_loss": 1.2 / e, "train_accuracy": 0.9, "val_accuracy": 0.8}
    return pd.DataFrame(rows)


TWO = {"scratch": SCORES, "finetune": LABELS * 1.0}
MAKE = {
    "training images": lambda: figures.training_images(PIXELS, LABELS, np.arange(12), per_class=3),
    "curves": lambda: figures.curves({"scratch": history(30), "extractor": history(5), "finetune": history(2)}),
    "a single curve": lambda: figures.curves({"scratch": history(4)}),
    "grid": lambda: figures.prediction_grid(PIXELS, LABELS, SCORES, np.arange(12), "scratch", 0.5),
    "roc": lambda: figures.roc(LABELS, TWO, {"scratch": 0.75, "finetune": 1.0}),
    "confusion": lambda: figures.confusion(LABELS, TWO, {"scratch": 0.5, "finetune": 0.5}),
    "reliability": lambda: figures.reliability(LABELS, TWO, {"scratch": SCORES, "finetune": SCORES}),
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE.keys())
def test_same_data_gives_the_same_bytes(make, tmp_path):
    figures.save(tmp_path, {"a": make(), "b": make()})
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert min(image.size) > 100
        assert "Software" not in image.info


def framed(labels, scores):
    figure = figures.prediction_grid(PIXELS, np.array(labels), np.array(scores), np.arange(len(labels)), "x", 0.5)
    return [(to_hex(axis.spines["left"].get_edgecolor()), axis.get_title()) for axis in figure.axes if axis.images]


@pytest.mark.parametrize(
    ("label", "score", "colour", "words"),
    [
        (0, 0.1, GREEN, "real = real"),
        (1, 0.9, GREEN, "fake = fake"),
        (0, 0.9, RED, "fake ≠ real"),
        (1, 0.1, RED, "real ≠ fake"),
        (1, 0.5, GREEN, "fake = fake"),
        (0, 0.5, RED, "fake ≠ real"),
    ],
)
def test_right_is_green_and_wrong_is_red(label, score, colour, words):
    [(edge, title)] = framed([label], [score])
    assert edge == colour
    assert title == f"{words}  {score:.2f}"


def test_all_four_sides_of_the_frame_are_drawn_in_the_colour():
    axis = figures.prediction_grid(PIXELS, LABELS, SCORES, np.arange(12), "x", 0.5).axes[0]
    assert {to_hex(spine.get_edgecolor()) for spine in axis.spines.values()} == {GREEN}
    assert all(spine.get_visible() and spine.get_linewidth() >= 2 for spine in axis.spines.values())
    assert axis.axison


def test_grid_shows_the_rows_asked_for_with_their_labels():
    rows = np.array([7, 2, 5])
    figure = figures.prediction_grid(PIXELS, LABELS[rows], SCORES[rows], rows, "x", 0.5)
    shown = [axis for axis in figure.axes if axis.images]
    assert len(shown) == 3
    for axis, row in zip(shown, rows, strict=True):
        assert np.array_equal(axis.images[0].get_array(), PIXELS[row].transpose(1, 2, 0))
        assert f"{SCORES[row]:.2f}" in axis.get_title()


@pytest.mark.parametrize("n", [1, 7, 8, 9, 12])
def test_grid_of_any_number_of_images(n):
    assert len(framed(LABELS[:n], SCORES[:n])) == n


def test_training_images_show_both_classes_in_rows_of_their_own():
    figure = figures.training_images(PIXELS, LABELS, np.array([5, 4, 3, 2]), per_class=3)
    assert [axis.get_title() for axis in figure.axes] == ["real", "real", "", "fake", "fake", ""]
    shown = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    for got, row in zip(shown, (4, 2, 5, 3), strict=True):
        assert np.array_equal(got, PIXELS[row].transpose(1, 2, 0))


def test_curves_show_train_and_val_of_every_approach_in_its_colour():
    loss, accuracy = MAKE["curves"]().axes
    for axis in (loss, accuracy):
        assert len(axis.lines) == 6
        for name, pair in zip(
            ("scratch", "extractor", "finetune"), zip(*[iter(axis.lines)] * 2, strict=True), strict=True
        ):
            assert [line.get_linestyle() for line in pair] == ["--", "-"]
            assert {line.get_color() for line in pair} == {figures.COLOURS[name]}
    assert [t.get_text() for t in accuracy.get_legend().get_texts()] == [
        "scratch (30 epochs)",
        "extractor (5 epochs)",
        "finetune (2 epochs)",
    ]


def test_one_approach_is_drawn_over_its_epochs_and_several_over_the_part_done():
    assert MAKE["a single curve"]().axes[0].lines[0].get_xdata().tolist() == [1, 2, 3, 4]
    assert MAKE["a single curve"]().axes[0].get_xlabel() == "epoch"
    assert {line.get_xdata()[-1] for line in MAKE["curves"]().axes[0].lines} == {100.0}


def test_curves_of_a_single_epoch_leave_a_mark():
    assert all(line.get_marker() == "o" for line in figures.curves({"scratch": history(1)}).axes[0].lines[1::2])


def test_roc_names_the_areas_it_is_given():
    assert {"scratch, area 0.7500", "finetune, area 1.0000"} <= set(
        t.get_text() for t in MAKE["roc"]().axes[0].get_legend().get_texts()
    )


def test_roc_has_a_second_picture_of_its_left_edge():
    whole, low = MAKE["roc"]().axes
    assert low.get_xlim()[1] == 0.1
    assert [len(axis.get_legend_handles_labels()[1]) for axis in (whole, low)] == [3, 2]


def test_reliability_draws_before_and_after_with_their_errors():
    scratch, finetune = MAKE["reliability"]().axes
    assert [line.get_linestyle() for line in finetune.lines] == [":", "--", "-"]
    assert finetune.get_title().startswith("finetune, ECE 0.000 → 0.")
    assert scratch.get_title().startswith("scratch, ECE 0.")


def test_confusion_counts_are_true_by_row_and_predicted_by_column():
    scratch, finetune = MAKE["confusion"]().axes
    got = {t.get_position(): t.get_text() for t in scratch.texts}
    # reals: 0.1 0.8 0.5 0.49 0.0 0.3; fakes: 0.9 0.2 0.5 0.51 1.0 0.7
    assert got == {(0, 0): "4", (1, 0): "2", (0, 1): "1", (1, 1): "5"}
    assert [t.get_text() for t in finetune.texts] == ["6", "0", "0", "6"]
    assert (scratch.get_xlabel(), scratch.get_ylabel()) == ("predicted", "true")


def test_pictures_need_no_window_and_no_global_state(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it now is an error
    figures.save(tmp_path, {"roc": MAKE["roc"]()})
