"""The page and pictures of the explanations: colours mean what they say, names are text, empty rows say so."""

import re

import numpy as np
import pytest
from audit_page import Reader

from fakeface.explain import page
from fakeface.explain.calls import GROUPS, Calls, evenly_spaced
from fakeface.explain.gradcam import overlay
from fakeface.explain.page import Explained
from fakeface.pages.render import figure_jpeg

EVIL = '1_fake/<script>alert(1)</script>" onerror="x$y$.jpg'
N, SIZE, CROP = 8, 24, 16
PIXELS = np.random.default_rng(0).integers(0, 256, (2 * N, 3, SIZE, SIZE), dtype=np.uint8)
ROWS = np.arange(N) * 2
LABELS = np.repeat([0, 1], N // 2)
PATHS = np.array([f"0_real/{k}.jpg" for k in range(4)] + [EVIL] + [f"1_fake/{k}.jpg" for k in range(3)], dtype=object)
RIGHT = np.where(LABELS == 1, 0.9, 0.1) + np.arange(N) / 1000


def explained(labels, scores, columns=3):
    calls = Calls(labels, scores, 0.5)
    heat = {}
    for group, places in calls.groups().items():
        shown = evenly_spaced(places, columns)
        crops = PIXELS[ROWS[shown]][:, :, 4:20, 4:20]
        heat[group] = (shown, crops, overlay(crops, np.ones((len(shown), CROP, CROP), dtype=np.float32)))
    return Explained("mynet", CROP, calls, heat)


def html(*scores, labels=LABELS, errors_shown=24):
    found = {f"approach{k}": explained(labels, values) for k, values in enumerate(scores)}
    n = len(labels)
    return page.explain_page(PATHS[:n], PIXELS, ROWS[:n], found, errors_shown=errors_shown, columns=3)


CASES = {
    "all right": (RIGHT, LABELS),
    "all wrong": (1 - RIGHT, LABELS),
    "only real": (np.array([0.1, 0.6, 0.5, 0.4]), np.zeros(4, dtype=int)),
    "only fake": (np.array([0.1, 0.6, 0.5, 0.4]), np.ones(4, dtype=int)),
}


@pytest.mark.parametrize("case", CASES)
def test_page_and_pictures_of_extreme_cases(case):
    scores, labels = CASES[case]
    text = html(scores, labels=labels)
    reader = Reader(text)
    assert reader.open == []
    assert all(source.startswith("data:image/jpeg") for source in reader.sources)
    assert all(reader.alts)
    one = explained(labels, scores)
    for figure in (
        page.gradcam_figure("scratch", one),
        page.extremes_figure("scratch", PIXELS, ROWS[: len(labels)], one.calls, 3),
    ):
        assert figure_jpeg(figure)[:2] == b"\xff\xd8"
    said = [label.get_text() for label in page.gradcam_figure("scratch", one).texts]
    for (true, called), places in one.calls.groups().items():
        size = len(places)
        words = "none" if size == 0 else f"3 of {size} images" if size > 3 else f"{size} image{'s' * (size > 1)}"
        assert f"{true} called {called}: {words}" in said
    assert any("0.500 or more" in words for words in said)


def test_the_numbers_at_the_images_are_the_scores():
    one = explained(LABELS, RIGHT)
    said = [label.get_text() for label in page.gradcam_figure("scratch", one).texts]
    shown = np.concatenate([places for places, _, _ in one.heat.values()])
    assert [words for words in said if re.fullmatch(r"[01]\.\d{3}", words)] == [f"{RIGHT[k]:.3f}" for k in shown]


def test_the_page_is_whole_in_itself():
    text = html(RIGHT, 1 - RIGHT)
    assert not re.search(r"https?://|@import|url\(|/tmp|/home", text)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    assert text == html(RIGHT, 1 - RIGHT)


def test_names_of_files_are_text_and_nothing_else():
    text = html(1 - RIGHT)
    assert "script" not in Reader(text).seen
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_what_all_get_wrong_comes_first_and_is_marked():
    half = np.where(np.arange(N) % 2 == 0, RIGHT, 1 - RIGHT)  # the odd ones are wrong
    text = html(1 - RIGHT, half)
    first = text[text.index("Wrong in every approach") : text.index("All errors")]
    assert [path in first for path in PATHS[[1, 3, 5, 7]]] == [True] * 4
    assert not any(path in first for path in PATHS[[0, 2, 6]])
    assert f"<strong>{half[1]:.3f}</strong>" in first
    assert text.count("wrong in every approach") == 2 * 4
    assert "None: at least one approach classifies each image correctly" in html(RIGHT, 1 - RIGHT)


def test_errors_beyond_the_limit_are_counted_and_their_file_is_named():
    text = html(1 - RIGHT, errors_shown=3)
    errors = text[text.index("All errors") : text.index("Hardest and easiest")]
    assert errors.count("<figure>") == 3
    assert "3 of 8 shown, the hardest; the other 5 are in <code>errors.csv</code>" in errors


def test_colours_say_which_class_and_how_strong():
    grey = np.full((1, 3, 1, 4), 100, dtype=np.uint8)
    orange, blue = np.array([213, 94, 0]), np.array([0, 114, 178])
    pixels = overlay(grey, np.array([[[4.0, 0, -4, 1]]]))[0, :, 0].T.astype(int)
    assert pixels[1].tolist() == [100, 100, 100]
    # numpy's percentile lies a little below the largest, so the strongest has the fullest colour, and 1 of 4 half of it
    assert np.abs(pixels[0] - (100 + 0.75 * (orange - 100))).max() <= 1
    assert np.abs(pixels[2] - (100 + 0.75 * (blue - 100))).max() <= 1
    assert np.abs(pixels[3] - (100 + 0.375 * (orange - 100))).max() <= 1
    assert (overlay(grey, np.zeros((1, 1, 4))) == 100).all()
    assert overlay(grey[:0], np.zeros((0, 1, 4))).shape == (0, 3, 1, 4)


def test_groups_are_those_of_the_pictures():
    assert list(explained(LABELS, RIGHT).heat) == list(GROUPS)
