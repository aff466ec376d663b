"""`fakeface.compare`: the figures of the stages `evaluate` and `extra` for the same images and detectors."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, write_faces
from test_predict import write_detector

import fakeface
from fakeface.core.load import load_params
from fakeface.core.params import APPROACHES
from fakeface.images.store import Dataset
from fakeface.scoring.evaluate import evaluate
from fakeface.scoring.extra import score_extra_set
from fakeface.split.stage import split as split_stage

PARAMS = load_params(ROOT / "recipes" / "default.yaml")
SIZE = 100  # of `write_detector`
FIGURES = ("accuracy_at_threshold", "balanced_accuracy_at_threshold", "roc_auc", "average_precision")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A working folder with 24 pairs of faces, split, three detectors that differ, and an extra set."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_faces(Path("faces"), 24)
        write_faces(Path("other"), 8, seed=1)
        shutil.copy("faces/0_real/0000.jpg", "other/0_real/known.jpg")
        Path("other/1_fake/broken.jpg").write_bytes(b"no image")
        split_stage(params())
        for name, threshold in zip(APPROACHES, (0.5, 0.4, 0.6), strict=True):
            hashed = {"data_hash": Dataset.open().data_hash, "approach": name, "threshold": threshold}
            hashed |= {"with_mirrored": name == "extractor"}
            write_detector(Path("models", name), **hashed)
            history = Path("reports/train", name, "history.csv")
            history.parent.mkdir(parents=True)
            history.write_text("epoch,train_loss,val_loss,train_accuracy,val_accuracy,lr\n1,0.7,0.7,0.5,0.5,0.1\n")
    return folder


def params():
    update = {
        "base": PARAMS.base.model_copy(update={"image_size": SIZE, "threads": 1, "precision": "fp32"}),
        "split": PARAMS.split.model_copy(update={"data": "faces", "on_bad_image": "skip"}),
        "evaluate": PARAMS.evaluate.model_copy(update={"extra_sets": {"other": "other"}}),
    }
    return PARAMS.model_copy(update=update)


@pytest.fixture
def here(project, monkeypatch):
    monkeypatch.chdir(project)
    return project


def split_of(folder="faces", **options):
    with warnings.catch_warnings(action="ignore"):
        return fakeface.split(folder, image_size=SIZE, **options)


def agree(found, folder, names=APPROACHES):
    """Figures, differences and tables are those in a folder of reports."""
    figures = pd.read_csv(folder / "figures.csv").set_index(["approach", "figure"])
    columns = [column for column in found.figures.columns if not column.endswith(("_low", "_high"))]
    assert columns == ["threshold", "accuracy", "balanced_accuracy", "roc_auc", "average_precision"]
    for name in names:
        of = found.figures.loc[name]
        assert of["threshold"] == figures.loc[(name, "threshold"), "value"]
        for column, figure in zip(columns[1:], FIGURES, strict=True):
            row = figures.loc[(name, figure)]
            assert of[column] == row["value"]
            assert [of[f"{column}_low"], of[f"{column}_high"]] == pytest.approx(
                [row["low"], row["high"]], abs=1e-6, nan_ok=True
            )
    pairs = pd.read_csv(folder / "pairs.csv")[found.differences.columns]
    pd.testing.assert_frame_equal(found.differences, pairs, check_dtype=False)
    tables = [text.partition("\n")[2] for text in (found.markdown, (folder / "table.md").read_text())]
    assert len({text.partition("\n**1 of ")[0] for text in tables}) == 1  # their titles differ
    assert repr(found) == found._repr_markdown_() == found.markdown


def test_the_figures_of_a_split_are_those_of_evaluate(here):
    before = sorted(here.rglob("*"))
    found = fakeface.compare(APPROACHES, "faces", split=split_of())
    assert sorted(here.rglob("*")) == before
    evaluate(params())
    agree(found, here / "reports/evaluate")
    predictions = pd.read_csv("reports/evaluate/predictions.csv").query("split == 'test'").reset_index(drop=True)
    assert found.predictions["path"].tolist() == predictions["path"].tolist()
    assert found.predictions["label"].tolist() == predictions["label"].tolist()
    assert set(found.predictions["seen_in_training"]) == set(found.predictions["problem"]) == {""}
    for name in APPROACHES:
        assert found.predictions[f"score_{name}"].to_numpy() == pytest.approx(
            predictions[f"score_{name}"].to_numpy(), abs=1e-6
        )
    assert "finetune is no better than guessing" in " ".join(found.notes)


def test_the_figures_of_another_folder_are_those_of_an_extra_set(here):
    with warnings.catch_warnings(record=True, action="always", category=UserWarning) as said:
        found = fakeface.compare(APPROACHES, Path("other"))
    assert [one.filename for one in said] == [__file__] * 2
    assert [str(one.message) for one in said] == found.notes[1::-1]
    assert found.notes[:2] == [
        "1 of the images show photos of train or val: figures are too optimistic.",
        "1 of 18 images are missing or cannot be read, and are not in the figures.",
    ]
    score_extra_set(params(), "other")
    assert found.markdown.endswith(f"**{found.notes[0]}**\n")
    agree(found, here / "reports/extra/other")
    predictions = pd.read_csv("reports/extra/other/predictions.csv", keep_default_na=False)
    read = found.predictions[found.predictions["problem"] == ""]
    assert read["seen_in_training"].tolist() == predictions["seen_in_training"].tolist()
    assert read.set_index("path")["group"].to_dict() == {
        path: f"0_real/{Path(path).stem}" for path in predictions["path"]
    }
    (broken,) = found.predictions[found.predictions["problem"] != ""].to_dict("records")
    assert (broken["path"], broken["label"], broken["group"]) == ("1_fake/broken.jpg", 1, "")
    assert np.isnan(broken["score_finetune"])
    assert found.predictions["label"].dtype == np.int64


def test_a_split_that_is_not_the_detectors_is_noticed(here):
    with pytest.warns(UserWarning, match="of the images show photos of train or val"):
        found = fakeface.compare("finetune", "faces", split=split_of(seed=5))
    manifest = pd.read_csv("data/split/manifest.csv").set_index("path")["split"]
    seen = found.predictions.set_index("path")["seen_in_training"]
    assert (seen != "").tolist() == (manifest[seen.index] != "test").tolist()


def test_detectors_of_several_sizes_and_kinds(here, tmp_path):
    """Each sees the images in its own size; of a name, a path and a loaded detector the scores are the same."""
    write_detector(tmp_path / "larger", image_size=120)
    write_detector(tmp_path / "native", image_size=120, pixels="native")
    loaded = fakeface.load_detector("finetune")
    several = {"a": "finetune", "b": tmp_path / "larger", "c": loaded, "d": str(tmp_path / "native")}
    table = split_of()
    scores = fakeface.compare(several, "faces", split=table).predictions
    assert list(scores.columns[-4:]) == [f"score_{name}" for name in several]
    assert scores["score_a"].tolist() == scores["score_c"].tolist()
    alone = fakeface.compare([tmp_path / "larger"], "faces", split=table)
    assert alone.figures.index.tolist() == [str(tmp_path / "larger")]
    assert alone.predictions[f"score_{tmp_path / 'larger'}"].tolist() == scores["score_b"].tolist()
    assert set(alone.predictions["seen_in_training"]) == {None}  # its split is not known here
    assert not np.allclose(scores["score_a"], scores["score_b"])
    assert scores["score_b"].tolist() == scores["score_d"].tolist()  # 96 pixels: enlarged either way
    assert fakeface.compare(iter([loaded]), "faces", split=table).figures.index.tolist() == ["finetune"]


def test_one_class_alone_has_the_figures_that_there_are(here, tmp_path):
    shutil.copytree("faces/1_fake", tmp_path / "fakes" / "1_fake")
    with pytest.warns(UserWarning, match="optimistic"):
        found = fakeface.compare(["scratch", "finetune"], tmp_path / "fakes")
    assert found.figures["accuracy"].notna().all()
    assert found.figures["roc_auc"].isna().all()
    assert found.differences.empty
    assert found.notes[1].startswith("There are only fakes")


def test_groups_make_wider_intervals(here, tmp_path):
    write_faces(tmp_path / "0", 24, seed=2)
    for kind in ("0_real", "1_fake"):
        for number, path in enumerate(sorted((tmp_path / "0" / kind).iterdir())):
            path.rename(path.with_name(f"p{number % 4}_{path.name}"))
    found = [fakeface.compare("scratch", tmp_path / "0", group_by=by) for by in ("photo", r"^(?P<group>p\d)")]
    assert [one.predictions["group"].nunique() for one in found] == [24, 4]
    assert found[0].figures["accuracy"].equals(found[1].figures["accuracy"])
    assert not found[0].figures["accuracy_low"].equals(found[1].figures["accuracy_low"])


@pytest.mark.parametrize(
    ("detectors", "folder", "options", "answer"),
    [
        ([], "faces", {}, "^no detector to compare"),
        (iter(()), "faces", {}, "^no detector to compare"),
        ("nothing", "faces", {}, "^nothing: no such detector"),
        (["scratch", "scratch"], "faces", {}, "^scratch: two detectors have this name; give a dict"),
        (
            "scratch",
            "nowhere",
            {},
            "^nowhere: no such folder, or it has neither 0_real nor 1_fake; set data, real and fake$",
        ),
        ("scratch", "faces", {"real": "a", "fake": "b"}, "has neither a nor b"),
        ("scratch", "faces", {"group_by": "folder"}, "^group_by = 'folder': no image is in a sub-folder"),
        ("scratch", "faces", {"split": pd.DataFrame({"path": []})}, "^split: has no group, label, set; give the table"),
        ("scratch", "faces", {"split": {}}, "^split: dict; give the table"),
        ("scratch", "faces", {"seed": "0"}, "^seed = '0': must be a valid integer"),
    ],
)
def test_what_is_wrong_is_named(here, detectors, folder, options, answer):
    with pytest.raises(fakeface.UserError, match=answer):
        fakeface.compare(detectors, folder, **options)


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        (lambda table: pd.concat([table, table]), "is there twice$"),
        (lambda table: table.assign(label=2), "with a label that is not 0 or 1$"),
        (lambda table: table.assign(group=np.nan), "without path or group"),
    ],
)
def test_a_split_that_was_edited_is_checked(here, change, answer):
    with pytest.raises(fakeface.UserError, match=f"^split: .*{answer}"):
        fakeface.compare("scratch", "faces", split=change(split_of()))


def test_a_split_without_test_images_or_with_files_that_are_gone(here):
    table = split_of()
    with pytest.raises(fakeface.UserError, match=r"^split: has no image in the set test$"):
        fakeface.compare("scratch", "faces", split=table[table["set"] == "train"])
    with pytest.raises(fakeface.UserError, match=r"none of its 12 images can be used; the first: .* cannot be read"):
        fakeface.compare("scratch", "other/0_real", split=table)
