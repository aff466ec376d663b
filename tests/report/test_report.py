"""The report's words follow from the figures; the page is whole in itself, the same bytes again, and runs nothing."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from audit_page import Reader
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from fakeface.core.perturbations import CELLS
from fakeface.pages.render import images_uri, render
from fakeface.report import generators, view
from fakeface.report.cards import best_on_val
from fakeface.report.limits import limits
from fakeface.report.results import VERDICTS, ExtraSet, Results
from fakeface.report.view import answer, comparison, errors, leak
from fakeface.scoring.comparison import Pair

EVIL = '1_fake/<script>alert(1)</script>" onerror="x.jpg'
NAMES = ["scratch", "extractor", "finetune"]
MACHINE = "some <processor>, 2 threads"
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)


def card(val=0.9, loss=0.3, **changed):
    metrics = {"val_accuracy": val, "val_loss": loss, "train_accuracy": 0.95, "best_epoch": 2, "epochs": 3}
    return {"network": "mynet", "weights": "none", "crop_size": 128, "data_hash": "d" * 64, "seed": 0, "threads": 2,
            "processes": 1, "device": "cpu", "precision": "fp32", "sha256": "a" * 64, "threshold": 0.4,
            "metrics": metrics} | changed  # fmt: skip


def pair(a, b, accuracy_a, accuracy_b, shown):
    low, high = (0.01, 0.2) if accuracy_a > accuracy_b else (-0.2, -0.01)
    made = Pair(a, b, 100, 50, accuracy_a, accuracy_b, accuracy_a - accuracy_b, low if shown else -0.1,
                high if shown else 0.1, 9, 2, 0.02 if shown else 0.4)  # fmt: skip
    assert made.shown == shown
    return {**vars(made), "shown": made.shown, "sentence": made.sentence}


def cost(minutes, epochs=3):
    return {"model_sha256": "a" * 64, "minutes": minutes, "epochs": epochs, "machine": MACHINE}


def results(**changed) -> Results:
    """scratch is the best on val, finetune level with it on test, extractor worse; scratch fails after any blur."""
    accuracies = {"scratch": 0.96, "extractor": 0.8, "finetune": 0.95}
    figures = [(name, figure, value, value - 0.04, min(1.0, value + 0.04))
               for name, accuracy in accuracies.items()
               for figure, value in {"accuracy": 0.5, "balanced_accuracy_at_threshold": accuracy, "accuracy_real": 0.5,
                                     "accuracy_real_at_threshold": 0.9, "ece": 0.05, "ece_uncalibrated": 0.02,
                                     "threshold": 0.4}.items()]  # fmt: skip
    low = {cell.name: 0.4 if cell.name.startswith("blur") else 0.8 for cell in CELLS}
    cells = [(name, cell.name, 0.5, 0.5 if name == "scratch" and cell.name.startswith("blur") else 0.9, low[cell.name], 0.95, 64)
             for name in NAMES for cell in CELLS]  # fmt: skip
    values = {
        "params": YAML(typ="safe").load(ROOT / "params.yaml"),
        "cards": {"scratch": card(0.97), "extractor": card(0.9), "finetune": card(0.95)},
        "costs": {"scratch": cost(2.5), "extractor": cost(0.1), "finetune": cost(1.0)},
        "figures": pd.DataFrame(figures, columns=["approach", "figure", "value", "low", "high"]),
        "pairs": pd.DataFrame([pair("scratch", "extractor", 0.96, 0.8, True), pair("scratch", "finetune", 0.96, 0.95, False),
                               pair("extractor", "finetune", 0.8, 0.95, True)]),
        "split": {"images": 400, "photos": 200, "train": {"real": 100, "fake": 100},
                  "val": {"real": 40, "fake": 40},
                  "test": {"real": 50, "fake": 50}},
        "audit": {"verdict": "warn", "balanced_accuracy": {"metadata": 0.5, "spectrum": 0.9, "thumbnail": None},
                  "interval_95": {"metadata": [0.45, 0.55], "spectrum": [0.85, 0.95], "thumbnail": [None, None]},
                  "exact_duplicates": 0, "near_duplicates": 1, "photos_in_several_splits": 0},
        "cells": pd.DataFrame(cells, columns=["approach", "cell", "accuracy", VERDICTS[0], "low", "high", "images"]),
        "robustness": {name: {VERDICTS[0]: {"mean": 0.8}} for name in NAMES},
        "folders": {},
        "untested": {},
        "errors": pd.DataFrame([("scratch", EVIL, 1, 0.01), ("finetune", EVIL, 1, 0.1), ("finetune", "0_real/1.jpg", 0, 0.9)],
                               columns=["approach", "path", "label", "score"]),
        "seeds": {"seeds": 1, "approaches": {name: {VERDICTS[0]: [a], "mean": a, "sd": None} for name, a in accuracies.items()}},
        "leak": {},
        "leave_out": {},
        "extra": {},
    }  # fmt: skip
    return Results(**values | changed)


def html(**changed) -> str:
    """The whole page; the browser's tests look at it too."""
    found = results(**changed)
    wrong = errors(found.errors, NAMES, 6)
    for row in wrong["rows"]:
        for image in row["hardest"]:
            image["uri"] = images_uri([PIXELS], 48)
    told = answer(found)
    names = ["evaluate/roc", "evaluate/curves", "robustness/jpeg", *(f"explain/gradcam_{name}" for name in NAMES)]
    return render("fakeface.report", "report.html", answer=told, audit=view.audit(found), comparison=comparison(found),
                  robustness=view.robustness(found), errors=wrong,
                  cross=generators.cross_table(found), left_out=generators.leave_out(found.leave_out),
                  limits=limits_of(found, told["best"]), pictures=dict.fromkeys(names, images_uri([PIXELS] * 3, 32)),
                  results=found, sample=True, photos=50,
                  parameters="split:\n  data: <b>x</b>\n")  # fmt: skip


def limits_of(found, approach):
    return limits(approach, True, found.params, found.split, found.figures, found.cells, found.seeds["seeds"])


def limit(title, **changed):
    return dict(limits_of(results(**changed), "scratch"))[title]


def test_names_from_the_data_are_text_and_nothing_else():
    text = html()
    reader = Reader(text)
    assert reader.open == []
    assert "script" not in reader.seen
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "some &lt;processor&gt;" in text
    assert "data: &lt;b&gt;x&lt;/b&gt;" in text


def test_the_page_needs_nothing_else_and_is_the_same_again():
    text = html()
    reader = Reader(text)
    assert all(reader.alts)
    assert {source for source in reader.sources if not source.startswith(("data:image/", "#"))} == {
        "audit/index.html",
        "explain/index.html",
    }
    assert not re.search(r"https?://|@import|url\(", text)
    assert text == html()


def test_val_chooses_and_test_has_no_say():
    assert best_on_val({"a": card(0.9), "b": card(0.95), "c": card(0.94)}) == "b"
    assert best_on_val({"a": card(0.95, 0.3), "b": card(0.95, 0.2)}) == "b"
    uneven = card(0.8)
    uneven["metrics"]["val_balanced_accuracy"] = 0.7
    all_fake = card(0.9, constant="fake")
    all_fake["metrics"]["val_balanced_accuracy"] = 0.5
    assert best_on_val({"a": all_fake, "b": uneven}) == "b"
    uneven["metrics"]["val_balanced_accuracy"] = 0.45  # even where it is worse than a coin
    assert best_on_val({"a": all_fake, "b": uneven}) == "b"
    told = answer(results(cards={"scratch": card(0.9), "extractor": card(0.97), "finetune": card(0.95)}))
    assert told["best"] == "extractor"
    assert told["standing"] == "val chose wrongly"
    assert told["verdict"].startswith("on the test set finetune and scratch did better") or told["verdict"].startswith(
        "on the test set scratch and finetune did better"
    )


def test_what_cannot_be_told_apart_is_said_plainly():
    told = answer(results())
    assert told["best"] == "scratch"
    assert told["accuracy"] == {"value": "96.0", "interval": "92.0 to 100.0"}
    assert told["standing"] == "level with finetune"
    assert told["verdict"] == (
        "scratch and finetune cannot be told apart on these images; scratch is shown to be better than extractor."
    )
    assert [row["word"] for row in told["sentences"]] == ["Better", "No difference"]


def test_a_tie_on_val_is_said():
    cards = {"scratch": card(0.97, 0.1), "extractor": card(0.9), "finetune": card(0.97, 0.2)}
    assert answer(results(cards=cards))["ties"] == "finetune"
    assert "equal to finetune; the lower val loss decides" in html(cards=cards)


@pytest.mark.parametrize(
    ("costs", "words"),
    [
        (
            {},
            "finetune is the cheapest approach not shown to be worse than scratch: 1.0 minute of training against 2.5",
        ),
        ({"finetune": cost(3.0)}, "scratch is also the cheapest"),
        ({"finetune": cost(2.5)}, "scratch is also the cheapest"),
        ({"finetune": None}, "the cost of finetune was not measured"),
        ({"scratch": None}, "the cost of scratch was not measured"),
        ({"extractor": None}, "finetune is the cheapest"),  # shown to be worse: its cost does not matter
    ],
)
def test_the_cheapest_of_those_not_shown_to_be_worse(costs, words):
    assert words in answer(results(costs=results().costs | costs))["cheapest"]


def test_minutes_are_measured_or_not():
    assert [view.minutes(c) for c in (None, cost(0.0), cost(1.0), cost(12.3))] == [
        "not measured",
        "under 0.1 minutes",
        "1.0 minute",
        "12.3 minutes",
    ]


def of_scratch(**values):
    """The figures, of which scratch's are changed: figure -> (value, low, high)."""
    table = results().figures
    more = [("scratch", figure, *found) for figure, found in values.items()]
    kept = table[~((table["approach"] == "scratch") & table["figure"].isin(list(values)))]
    return pd.concat([kept, pd.DataFrame(more, columns=table.columns)])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"figures": of_scratch(roc_auc=(0.376, 0.3, 0.45))},
            "scratch is no better than guessing here: balanced accuracy 96.0 % (92.0 to 100.0), ROC-AUC 0.376 (0.300 to 0.450);",
        ),
        (
            {"figures": of_scratch(balanced_accuracy_at_threshold=(0.5, None, None),
                                   accuracy_real_at_threshold=(0.0, None, 0.05), accuracy_fake_at_threshold=(1.0, 0.95, None))},
            "scratch is no better than guessing here, it calls every image fake",
        ),
        ({"cards": results().cards | {"scratch": card(0.97, guessing=True)}}, "On the validation set scratch is no better"),
        (
            {"split": results().split | {"test": {"real": 20, "fake": 30}}},
            "A small test set: 20 reals and 30 fakes of 50 photos. If all 20 of a class are called right, up to 15 %",
        ),
        (
            {"split": results().split | {"test": {"real": 60, "fake": 600}}},
            "The test set has 60 reals and 600 fakes: to call everything fake is right for 90.9 % of them.",
        ),
        ({"split": results().split | {"train": {"real": 300, "fake": 100}}}, "Training had 300 reals and 100 fakes"),
    ],
)  # fmt: skip
def test_what_must_be_said_before_any_figure_is(changed, words):
    text = html(**changed)
    assert words in text
    assert text.index(words) < text.index("Which approach?")
    assert ("<h1>Real or computer-made face: no better than guessing</h1>" in text) == bool(
        {"figures", "cards"} & set(changed)
    )
    assert words not in html()
    assert "Read this first." not in html()


SHARES = {"recall": 0.75, "recall_low": 0.5, "recall_high": 0.9, "balanced_accuracy": 0.7, "roc_auc": 0.8}
ROW = {"images": 12, **{name: SHARES for name in NAMES}}


def test_a_sub_folder_without_a_test_image_is_named():
    text = html(untested={"fake: 1_fake/<b>": "9 images, all in train"})
    assert "Not in test, so without a row here: fake: 1_fake/&lt;b&gt;, 9 images, all in train." in text


def test_a_sub_folder_of_too_few_images_is_called_guessing_also_where_its_auc_is_high():
    few = {"images": 2, **{name: SHARES | {"guessing": name == "scratch"} for name in NAMES}}
    *_, row = generators.cross_table(results(folders={"fake: 1_fake/a": few}))["fakes"]
    assert [cell["guessing"] for cell in row["cells"]] == [name == "scratch" for name in NAMES]


def test_robustness_has_a_row_for_each_sub_folder():
    text = html(robustness=results().robustness | {"by_folder": {"fake: sg2, blur_1": ROW}})
    assert text.count("<td>75.0 % (50.0 to 90.0), AUC 0.800</td>") == 3


def extra(seen=0, images=(20, 30), **figures):
    """A further folder, the same figures by each approach: figure -> (value, low, high)."""
    rows = [(name, figure, *found) for name in NAMES for figure, found in figures.items()]
    metrics = {"images_seen_in_training": seen, "by_folder": {"fake: 1_fake/x": ROW}}
    table = pd.DataFrame(rows, columns=["approach", "figure", "value", "low", "high"])
    return ExtraSet(metrics, table, dict(zip(("real", "fake"), images, strict=True)))


def cells(row):
    return [(cell["auc"], cell["share"]) for cell in row["cells"]]


def test_every_generator_and_further_set_is_in_one_table():
    found = {"accuracy_fake_at_threshold": (0.6, 0.5, 0.7), "roc_auc": (0.55, 0.45, 0.65),
             "accuracy_real_at_threshold": (0.9, 0.8, 0.95)}  # fmt: skip
    reals = {"accuracy_real_at_threshold": (1.0, 0.9, None)}
    sets = {"holiday": extra(7, **found), "own": extra(images=(9, 0), **reals)}
    both = {"fake: 1_fake/<b>": ROW, "real: 0_real/y": ROW}
    table = generators.cross_table(results(folders=both, extra=sets))
    assert [(row["words"], row["images"], row["inside"]) for row in table["fakes"]] == [
        ("test set", 50, False), ("<b>", 12, True), ("holiday", 30, False), ("x", 12, True)]  # fmt: skip
    assert [row["words"] for row in table["reals"]] == ["test set", "y", "holiday", "own"]
    assert cells(table["fakes"][1])[0] == (
        {"value": "0.800", "interval": ""}, {"value": "75.0", "interval": "50.0 to 90.0"})  # fmt: skip
    assert [row["cells"][0]["share"] for row in table["reals"]] == [
        {"value": "10.0", "interval": "6.0 to 14.0"}, {"value": "25.0", "interval": "10.0 to 50.0"},
        {"value": "10.0", "interval": "5.0 to 20.0"}, {"value": "0.0", "interval": ""}]  # fmt: skip
    assert [row["cells"][0]["guessing"] for row in table["fakes"]] == [False, False, True, False]
    assert [row["note"] for row in table["fakes"]] == [
        "",
        "",
        "7 of 50 images were seen in training: too optimistic",
        "",
    ]
    text = html(folders=both, extra=sets)
    assert "&lt;b&gt;" in text
    assert "seen in training: too optimistic" in text
    assert "Other generators\nwere not tried" not in text
    assert "<em>guessing</em>" in text
    assert "<em>guessing</em>" not in html()
    assert "Other generators\nwere not tried" in html()
    assert "holiday, own" in limit("Other generators", params=results().params | {"evaluate": {"extra_sets": sets}})


def test_what_was_trained_without_a_generator_is_beside_what_was_trained_on_all():
    guess = SHARES | {"roc_auc": 0.4}
    found = {"scratch": {"trained_on_all": {"<b>": SHARES, "sg2": SHARES},
                         "trained_without": {"sg2": {"<b>": SHARES, "sg2": guess}},
                         "left_out": {"mean_roc_auc": 0.4, "worst_roc_auc": 0.4}}}  # fmt: skip
    (table,) = generators.leave_out(found)
    assert [row["words"] for row in table["rows"]] == ["all", "all but sg2"]
    assert [[cell["left_out"] for cell in row["cells"]] for row in table["rows"]] == [[False, False], [False, True]]
    assert [cell["auc"]["value"] for cell in table["rows"][1]["cells"]] == ["0.800", "0.400"]
    assert table["rows"][1]["cells"][1]["share"]["value"] == "70.0"
    text = html(leave_out=found)
    assert "AUC on what was left out 0.400 on average, 0.400 at worst" in text
    assert '<th class="number">&lt;b&gt;</th>' in text
    assert "Trained without a generator" not in html()


def test_fragility_comes_from_the_figures():
    text = limit("Fragile")
    assert text.startswith(
        "scratch falls from 90.0 % (80.0 to 95.0) to 50.0 % (40.0 to 95.0) balanced accuracy with blur, sigma 1 (on 64 test"
    )
    blurred = sum(cell.name.startswith("blur") for cell in CELLS)
    assert f"in {blurred} of {len(CELLS) - 1} perturbations: blur in 4 of 4 strengths." in text
    firm = results().cells.assign(**{VERDICTS[0]: 0.9})
    assert "loses at most 0.0 points" in limit("Fragile", cells=firm)
    assert answer(results(cells=firm))["fragile"] == ""


def test_a_detector_that_guesses_cannot_fall():
    cells = results().cells.assign(low=0.4)
    assert answer(results(cells=cells))["fragile"] == ""
    assert limit("Fragile", cells=cells).startswith("scratch is no better than guessing on the unchanged images")


def test_false_alarms_are_counted_where_fakes_are_rare():
    # at least 86 % of the reals are right: 0.14 of 990 reals
    assert "up to 139 of the reals would also be called fake" in limit("A score is not proof")


def test_calibration_is_compared_with_none():
    text = limit("Calibration")
    assert "off by 5.0 points" in text
    assert "more than the 2.0 without the temperature, which was fitted on 80 val images" in text


def test_one_training_says_nothing_about_seeds():
    assert "trained once" in limit("Other trainings")
    assert "One training each." in html()
    several = {"seeds": 3, "approaches": {"scratch": {VERDICTS[0]: [0.9, 0.92, 0.94], "mean": 0.92, "sd": 0.02}}}
    assert "trained 3 times" in limit("Other trainings", seeds=several)
    assert "90.0, 92.0, 94.0" in html(seeds=several)
    assert "One training each." not in html(seeds=several)


def test_a_leaky_split_is_the_first_limit():
    params = results().params
    params["split"]["group_by"] = "none"
    assert limits_of(results(params=params), "scratch")[0][0] == "Leaky split"
    assert "none of which was seen in training" not in html(params=params)


def test_what_the_leak_was_worth():
    part = {VERDICTS[0]: 0.9, "interval": [0.8, 0.95], "n": 10}
    none = {
        VERDICTS[0]: 0.99,
        "n": 10,
        "twin_in_train": {VERDICTS[0]: 1.0, "n": 6},
        "no_twin_in_train": {VERDICTS[0]: None, "n": 0},
    }
    found = {"scratch": {"grouped": part, "none": none, "difference": {VERDICTS[0]: -0.012, "interval": [-0.05, 0.02]}}}
    rows = leak(found)
    assert [row["value"] for row in rows] == ["90.0", "99.0", "100.0", "-1.2"]
    assert [rows[0]["interval"], rows[-1]["interval"]] == ["80.0 to 95.0", "-5.0 to 2.0"]
    assert "What a random split would have shown" in html(leak=found)
    assert leak({}) == []


def test_errors_are_counted_by_approach_and_by_all():
    found = errors(results().errors, NAMES, 1)
    assert [(row["count"], row["real"], row["fake"]) for row in found["rows"]] == [(1, 0, 1), (0, 0, 0), (2, 1, 1)]
    assert [len(row["hardest"]) for row in found["rows"]] == [1, 0, 1]
    assert found["by_all"] == 0
    assert errors(results().errors, ["scratch", "finetune"], 1)["by_all"] == 1


def test_no_error_at_all_is_a_result_too(tmp_path):
    path = tmp_path / "errors.csv"
    results().errors.head(0).to_csv(path, index=False)
    none = pd.read_csv(path, dtype={"path": str})
    assert [row["count"] for row in errors(none, NAMES, 6)["rows"]] == [0, 0, 0]
    assert "extractor: 0 of 100" in html(errors=none)


def test_figures_that_are_missing_are_no_numbers():
    rows = {row["words"]: row["cells"] for row in comparison(results())["rows"]}
    assert rows["ROC-AUC"] == [None, None, None]
    assert rows["balanced accuracy at the val threshold"][1] == {"value": "80.0 %", "interval": "76.0 to 84.0"}


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.9))
def test_bars_stay_on_their_scale(value, one, other, start):
    bar = view._bar("x", value, min(one, other), max(one, other), start)
    assert 0 <= bar["left"] <= 100
    assert bar["width"] >= 1
    assert bar["left"] + bar["width"] <= 101.01
    assert 0 <= bar["at"] <= 99


def test_the_stage_starts_without_torch_or_mlflow():
    modules = "stages.report, fakeface.images.store, fakeface.report.limits, fakeface.pages.render"
    code = f"import sys, {modules}; print(sorted({{'torch', 'mlflow', 'sklearn'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


LOOSE = "30 sub-folders of the real images (a, b, c, ...) are in several splits: faces of train are in test"


@pytest.mark.parametrize(
    ("verdict", "on_shortcut", "size", "torn", "findings", "said", "unsaid"),
    [
        ("warn", "fail", 0.5, 0, [LOOSE, "<b>more"], ["The audit of the data warns", LOOSE, "&lt;b&gt;more"], ["overridden"]),
        ("warn", "warn", 0.9, 0, [], ["failed, and was overridden by <code>audit.on_shortcut", "file size"], ["data warns"]),
        ("warn", "warn", 0.5, 0, [], ["The audit of the data warns"], ["overridden"]),
        ("pass", "warn", 0.5, 0, [], ["found no shortcut", "none of which was seen in training"], ["overridden", "warns"]),
        ("warn", "fail", 0.5, 4, ["4 photos are in several splits"], ["4 photos are in"], ["none of which was seen"]),
    ],
)  # fmt: skip
def test_the_first_boxes_say_all_that_the_audit_warned_of(verdict, on_shortcut, size, torn, findings, said, unsaid):
    base = results()
    params = base.params | {"audit": base.params["audit"] | {"on_shortcut": on_shortcut}}
    probes = {"balanced_accuracy": {"file_size": size}, "interval_95": {"file_size": [size - 0.05, size + 0.05]}}
    found = base.audit | probes | {"verdict": verdict, "findings": findings, "photos_in_several_splits": torn}
    top = html(params=params, audit=found).partition("<nav")[0]
    assert [text for text in said if text not in top] == []
    assert [text for text in unsaid if text in top] == []
