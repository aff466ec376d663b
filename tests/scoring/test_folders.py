"""Sub-folders of a class have rows of their own in every table; a class in one folder has none."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fakeface.scoring.folders import MOST, by_folder, not_in_test, row_text, sub_folders
from fakeface.scoring.summary import summarise

CARDS = {"scratch": {"threshold": 0.4, "temperature": 1.0, "sha256": "a" * 64}}


def names(*paths):
    return sub_folders(paths, np.array([int("fake" in path) for path in paths])).tolist()


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        (["0_real/1.jpg", "0_real/2.jpg", "1_fake/1.jpg"], ["", "", ""]),
        (
            ["0_real/1.jpg", "1_fake/stargan/1.jpg", "1_fake/stargan/2.jpg"],
            ["", "", ""],
        ),  # one folder is the class itself
        (
            ["0_real/1.jpg", "1_fake/stargan/1.jpg", "1_fake/sg2/a/1.jpg", "1_fake/sg2/b/1.jpg", "1_fake/1.jpg"],
            ["", "fake: 1_fake/stargan", "fake: 1_fake/sg2", "fake: 1_fake/sg2", "fake: 1_fake"],
        ),
        (["x/real/1.jpg", "y/real/1.jpg", "x/fake/1.jpg", "x/fake/2.jpg"], ["real: x", "real: y", "", ""]),
        (["0_real/a/1.jpg", "0_real/b\n/1.jpg"], ["real: 0_real/a", "real: 0_real/b\\n"]),
        ([], []),
    ],
)
def test_what_differs_first_below_a_class_is_its_sub_folder(paths, wanted):
    assert names(*paths) == wanted


def test_of_very_many_the_largest_are_shown_and_the_others_counted():
    paths = [f"1_fake/p{folder:03d}/{i}.jpg" for folder in range(MOST + 5) for i in range(2 if folder > 4 else 1)]
    found = names(*paths)
    assert len(set(found)) == MOST + 1
    assert found.count("fake: 5 other sub-folders") == 5


@pytest.mark.parametrize("reals", [40, 0])
def test_each_has_images_recall_and_auc_against_all_reals(reals, tmp_path):
    rng = np.random.default_rng(0)
    paths = [f"0_real/{i}.jpg" for i in range(reals)]
    paths += [f"1_fake/{name}/{i}.jpg" for name in ("easy", "ha|rd") for i in range(30)]
    labels = np.repeat([0, 1], [reals, 60])
    scores = np.concatenate([rng.uniform(0, 0.5, reals), rng.uniform(0.35, 1, 30), rng.uniform(0, 0.6, 30)])
    folders, source = sub_folders(paths, labels), np.arange(len(paths))
    summary = summarise(labels, {"scratch": scores}, CARDS, source, folders, resamples=200, seed=0)
    summary.write(tmp_path, "Test set")
    rows = json.loads((tmp_path / "metrics.json").read_text())["by_folder"]
    assert list(rows) == ["fake: 1_fake/easy", "fake: 1_fake/ha|rd"]
    table = (tmp_path / "table.md").read_text()
    for k, (name, row) in enumerate(rows.items()):
        own = slice(reals + 30 * k, reals + 30 * k + 30)
        found = row["scratch"]
        assert row["images"] == 30
        assert found["recall"] == pytest.approx((scores[own] >= 0.4).mean(), abs=1e-6)
        assert found["recall_low"] < found["recall"] <= found["recall_high"]
        if reals:
            area = roc_auc_score(np.repeat([0, 1], [reals, 30]), np.concatenate([scores[:reals], scores[own]]))
            assert found["roc_auc"] == pytest.approx(area, abs=1e-6)
            assert found["roc_auc_low"] < area < found["roc_auc_high"]
        else:
            assert "roc_auc" not in found
        line = next(line for line in table.splitlines() if name.replace("|", "\\|") in line)
        assert line.startswith(f"| {name} | 30 | {100 * found['recall']:.1f} % (".replace("ha|rd", "ha\\|rd"))


@pytest.mark.parametrize(
    ("fakes", "scores", "guessing"),
    [
        (30, [0.9], False),
        (2, [0.9], False),  # both right where 1 real in 40 is called fake
        (1, [0.9], True),  # 1 right: by a detector that calls 2.5 % of all fake perhaps
        (30, [0.1, 0.45], True),  # as the reals
        (30, [0.39], True),  # above nearly all reals, and none called fake
    ],
)
def test_chance_is_called_so_also_of_very_few_images(fakes, scores, guessing):
    labels = np.repeat([0, 1], [40, fakes])
    values = {"scratch": np.concatenate([np.linspace(0, 0.402, 40), np.resize(scores, fakes)])}
    folders = np.array([""] * 40 + ["fake: gan"] * fakes, dtype=object)
    rows = by_folder(folders, labels, values, {"scratch": 0.4}, np.arange(40 + fakes), resamples=300, seed=0)
    row = rows["fake: gan"]["scratch"]
    assert row.get("guessing", False) == guessing
    assert row_text(row).startswith("no better than guessing: ") == guessing
    assert row_text({"recall": 0.5}) == "50.0 %"


def test_folders_without_a_test_image_are_named_with_their_images(tmp_path):
    folders = np.array(["fake: a", "fake: a", "fake: b", "fake: c", "fake: c", ""], dtype=object)
    found = not_in_test(folders, np.array(["train", "test", "train", "train", "val", "train"]))
    assert found == {"fake: b": "1 images, all in train", "fake: c": "2 images, all in train and val"}
    summary = summarise(
        np.tile([0, 1], 9), {"scratch": np.tile([0.1, 0.9], 9)}, CARDS, np.arange(18), resamples=99, seed=0
    )
    replace(summary, untested=found).write(tmp_path, "Test set")
    assert json.loads((tmp_path / "metrics.json").read_text())["not_in_test"] == found
    assert "Not in test: fake: b, 1 images, all in train.\n" in (tmp_path / "table.md").read_text()


def test_flat_folders_change_no_byte(tmp_path):
    labels, scores = np.tile([0, 1], 30), {"scratch": np.random.default_rng(0).random(60)}
    paths = [f"{'01'[label]}/{i}.jpg" for i, label in enumerate(labels)]
    for name, folders in (("none", None), ("flat", sub_folders(paths, labels))):
        summarise(labels, scores, CARDS, np.arange(60), folders, resamples=100, seed=0).write(
            tmp_path / name, "Test set"
        )
    for path in (tmp_path / "none").iterdir():
        assert (tmp_path / "flat" / path.name).read_bytes() == path.read_bytes()
