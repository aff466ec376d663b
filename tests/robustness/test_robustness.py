"""The robustness table: whole photos chosen by seed, mean and worst by hand, budgets, pictures."""

import numpy as np
import pandas as pd
import pytest

from fakeface.core.errors import UserError
from fakeface.core.perturbations import CELLS, KINDS
from fakeface.robustness.table import FIGURES, broken, choose_images, markdown, worst_cases
from fakeface.scoring import figures


def table(**accuracies):
    """approach -> {cell: accuracy}; all other figures are the accuracy too."""
    return pd.DataFrame(
        [
            {"approach": name, "cell": cell} | dict.fromkeys(FIGURES, value)
            for name, cells in accuracies.items()
            for cell, value in cells.items()
        ]
    )


SMALL = table(
    finetune={"clean": 1.0, "jpeg_65": 0.9, "blur_1": 0.6}, scratch={"clean": 0.8, "jpeg_65": 0.8, "blur_1": 0.5}
)


def pairs(photos=20):
    """A real and a fake of each photo, reals first."""
    sources = np.array([f"p{i:02d}" for i in range(photos)] * 2)
    return np.repeat([0, 1], photos), sources


@pytest.mark.parametrize("images", [1, 5, 19])
def test_chosen_images_are_whole_photos_and_as_many_of_each_class(images):
    labels, sources = pairs()
    chosen = choose_images(labels, sources, images, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [images, images]
    assert sorted(sources[chosen][labels[chosen] == 0]) == sorted(sources[chosen][labels[chosen] == 1])
    assert chosen.tolist() == sorted(set(chosen.tolist()))


def test_zero_or_more_than_there_are_take_all():
    labels, sources = pairs()
    for images in (0, 20, 1000):
        assert choose_images(labels, sources, images, seed=0).tolist() == list(range(40))


def test_the_seed_chooses_and_the_order_of_the_images_does_not():
    labels, sources = pairs()
    chosen = [frozenset(sources[choose_images(labels, sources, 5, seed)]) for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    order = np.random.default_rng(0).permutation(40)
    assert frozenset(sources[order][choose_images(labels[order], sources[order], 5, 0)]) == chosen[0]


def test_images_without_a_twin_and_photos_with_several():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    sources = np.array(["a", "b", "c", "d", "e", "f", "g", "h", "h", "h"])
    chosen = choose_images(labels, sources, 2, seed=0)  # the photo h has three fakes: no room for it
    assert np.bincount(labels[chosen]).tolist() == [2, 2]
    assert "h" not in sources[chosen]


def test_a_class_that_would_be_empty_is_refused():
    labels, sources = np.array([0, 1, 1]), np.array(["a", "a", "a"])
    with pytest.raises(UserError, match=r"robustness\.images = 1"):
        choose_images(labels, sources, 1, seed=0)


def test_summary_by_hand():
    figures = worst_cases(SMALL)
    assert list(figures) == ["finetune", "scratch"]
    assert figures["finetune"]["accuracy"] == {"clean": 1.0, "mean": 0.833333, "worst": 0.6, "worst_cell": "blur_1"}
    assert figures["scratch"]["roc_auc"] == {"clean": 0.8, "mean": 0.7, "worst": 0.5, "worst_cell": "blur_1"}


@pytest.mark.parametrize("budget", [{}, {"finetune": {}}, {"finetune": {"jpeg_65": 0.1}}, {"scratch": {"blur_1": 0.3}}])
def test_a_budget_that_is_kept(budget):
    assert broken(SMALL, budget) == []


def test_a_broken_budget_names_approach_cell_loss_and_allowed_and_the_worst_comes_first():
    lines = broken(SMALL, {"finetune": {"jpeg_65": 0.09, "blur_1": 0.08}, "scratch": {"blur_1": 0.1, "jpeg_65": 0}})
    assert lines[0] == "finetune loses 0.400 of balanced accuracy at blur_1 (1.000 to 0.600), allowed 0.08"
    assert [line.split(" of ")[0] for line in lines] == [
        "finetune loses 0.400",
        "scratch loses 0.300",
        "finetune loses 0.100",
    ]


def test_markdown_by_hand():
    assert markdown(SMALL).splitlines() == [
        "| cell | finetune | scratch |",
        "|---|---|---|",
        "| clean | 100.0 | 80.0 |",
        "| jpeg_65 | 90.0 | 80.0 |",
        "| blur_1 | 60.0 | 50.0 |",
        "| **mean** | 83.3 | 70.0 |",
        "| **worst** | 60.0 | 50.0 |",
    ]
    assert "| clean | 100.0 (90.0 to 100.0) |" in markdown(SMALL.assign(low=0.9, high=1.0))


FULL = table(
    **{name: {cell.name: 1 - 0.02 * i for i, cell in enumerate(CELLS)} for name in ("scratch", "extractor", "finetune")}
)


@pytest.mark.parametrize("kind", KINDS)
def test_curves_hold_every_approach_at_its_values(kind):
    axis = figures.perturbation_curves(FULL, kind).axes[0]
    lines = {line.get_label(): line for line in axis.get_lines()}
    assert {"scratch", "extractor", "finetune"} <= set(lines)
    names = [label.get_text() for label in axis.get_xticklabels()]
    assert names[0] == "clean"
    drawn = lines["scratch"].get_ydata()
    assert len(drawn) == len(names)
    assert drawn[0] == 1
    assert (np.diff(drawn) < 0).all()


def test_examples_show_every_cell(tmp_path):
    images = {cell.name: np.zeros((3, 8, 8), dtype=np.uint8) for cell in CELLS}
    figure = figures.perturbed_examples(images)
    assert [axis.get_title() for axis in figure.axes if axis.get_title()] == list(images)
    figures.save(tmp_path, {"a": figure, "b": figures.perturbed_examples(images)})
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("seed", range(4))
def test_of_uneven_classes_the_rarer_one_is_whole(seed):
    """15 pairs and 135 fakes more: those without a real must not take the room of the pairs' fakes."""
    labels = np.r_[np.zeros(15, int), np.ones(150, int)]
    sources = np.array([str(i) for i in [*range(15), *range(150)]])
    assert np.bincount(labels[choose_images(labels, sources, 32, seed)]).tolist() == [15, 32]
