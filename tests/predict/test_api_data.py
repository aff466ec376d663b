"""`fakeface.split` and `fakeface.audit`: what the stages say of the same folder, without a file written."""

import json
import os
import subprocess
import sys
import warnings
from inspect import signature
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, write_faces
from PIL import Image

import fakeface
from fakeface.audit.stage import audit as audit_stage
from fakeface.core.load import load_params
from fakeface.library import comparison, data
from fakeface.split.stage import split as split_stage

PARAMS = load_params(ROOT / "recipes" / "default.yaml")


@pytest.fixture
def faces(tmp_path, monkeypatch):
    """A working folder with 24 pairs in `faces`, a copy of one, a file that is no image and one that cannot be read."""
    monkeypatch.chdir(tmp_path)
    write_faces(Path("faces"), 24)
    Image.open("faces/0_real/0000.jpg").save("faces/0_real/copy.png")
    Path("faces/notes.txt").write_text("x")
    Path("faces/1_fake/0005_broken.jpg").write_bytes(b"no image")
    return Path("faces")


def stages(**split):
    """Runs both stages in the working folder."""
    split = {"data": "faces", "on_bad_image": "skip", **split}
    update = {
        "base": PARAMS.base.model_copy(update={"image_size": 64}),
        "split": PARAMS.split.model_copy(update=split),
        "audit": PARAMS.audit.model_copy(update={"on_shortcut": "warn"}),
    }
    params = PARAMS.model_copy(update=update)
    split_stage(params)
    audit_stage(params)


def quietly(function, *arguments, **named):
    with warnings.catch_warnings(action="ignore"):
        return function(*arguments, **named)


def test_the_defaults_are_those_of_params_yaml():
    split, base = PARAMS.split.model_dump(), PARAMS.base
    defaults = {name: one.default for name, one in signature(fakeface.split).parameters.items() if name != "data"}
    own = {"seed": base.seed, "image_size": base.image_size}
    assert defaults == own | {key: split[key] for key in set(defaults) & set(split)}
    assert signature(fakeface.audit).parameters == signature(fakeface.split).parameters
    assert PARAMS.audit == data.LIMITS
    assert PARAMS.evaluate.resamples == comparison.RESAMPLES
    assert {key: split[key] for key in comparison.GROUPS} == comparison.GROUPS


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"group_by": "none", "seed": 3},
        {"protocol": "counts", "train": 10, "val": 4, "test": 6, "hash_distance": 0},
        {"group_by": r"^\d*(?P<group>\d)"},
    ],
)
def test_the_split_is_that_of_the_stage(faces, change):
    before = sorted(Path().rglob("*"))
    with warnings.catch_warnings(record=True, action="always") as said:
        table = fakeface.split(faces, image_size=64, **change)
    assert "not used: 1 files beside the class folders" in [str(one.message) for one in said]
    assert {one.filename for one in said} == {__file__}
    assert sorted(Path().rglob("*")) == before
    base = PARAMS.base.model_copy(update={"image_size": 64, "seed": change.pop("seed", 0)})
    split = PARAMS.split.model_copy(update={"data": "faces", "on_bad_image": "skip"} | change)
    split_stage(PARAMS.model_copy(update={"base": base, "split": split}))
    manifest = pd.read_csv("data/split/manifest.csv")
    assert list(table.columns) == ["path", "label", "group", "set", "problem"]
    assert table["label"].dtype == np.int64
    read = table[table["problem"] == ""]
    for column, of_stage in (("path", "path"), ("label", "label"), ("group", "source"), ("set", "split")):
        assert read[column].tolist() == manifest[of_stage].tolist()
    (broken,) = table[table["problem"] != ""].to_dict("records")
    assert broken["path"] == "1_fake/0005_broken.jpg"
    assert (broken["label"], broken["group"], broken["set"]) == (1, "", "")
    assert broken["problem"] == pd.read_csv("reports/split/skipped.csv")["reason"].item()


@pytest.mark.slow
@pytest.mark.parametrize("group_by", ["photo", "none"])
def test_the_audit_is_that_of_the_stage(faces, group_by, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = sorted(Path().rglob("*"))
    found = quietly(fakeface.audit, Path("faces"), image_size=64, group_by=group_by)
    assert sorted(Path().rglob("*")) == before
    stages(group_by=group_by)
    figures = json.loads(Path("reports/audit/audit.json").read_text())
    probes = found.probes.set_index("probe")
    assert set(probes["fakes"]) == {"all"}
    assert probes["balanced_accuracy"].to_dict() == figures["balanced_accuracy"]
    assert {name: [row.low, row.high] for name, row in probes.iterrows()} == figures["interval_95"]
    assert found.findings["text"].tolist() == figures["findings"]
    assert found.status == "fail"  # the stage would stop, but for on_shortcut: warn
    assert f"{found.status}: 49 images, findings: {len(found.findings)}, 1 unreadable" in repr(found)
    assert found.counts["photos_in_several_splits"] == figures["photos_in_several_splits"]
    assert (found.counts["photos_in_several_splits"] > 0) == (group_by == "none")
    named = {"split": "set", "other_split": "other_set", "source": "group"}
    pairs = pd.read_csv("reports/audit/pairs.csv").rename(columns=named).replace({"kind": {"splits": "sets"}})
    pd.testing.assert_frame_equal(found.pairs, pairs, check_dtype=False)
    assert {"near", "classes"} <= set(found.pairs["kind"])
    files = pd.read_csv("reports/audit/files.csv", keep_default_na=False).rename(columns=named)
    pd.testing.assert_frame_equal(found.files, files, check_dtype=False)
    assert found.skipped["path"].tolist() == ["1_fake/0005_broken.jpg"]
    assert found.not_used == {"files beside the class folders": 1}


@pytest.mark.slow
def test_fakes_of_several_generators_are_probed_one_by_one(tmp_path):
    write_faces(tmp_path, 40)
    for number, path in enumerate(sorted((tmp_path / "1_fake").iterdir())):
        path.parent.joinpath("ab"[number % 2]).mkdir(exist_ok=True)
        path.rename(path.parent / "ab"[number % 2] / path.name)
    probes = quietly(fakeface.audit, tmp_path, image_size=64).probes
    assert probes["fakes"].value_counts().to_dict() == {"all": 5, "a": 5, "b": 5}
    assert (probes["limit"] == probes["probe"].map({"metadata": 0.65, "file_size": 0.65}).fillna(0.75)).all()


@pytest.mark.parametrize("function", [fakeface.split, fakeface.audit])
@pytest.mark.parametrize(
    ("place", "change", "answer"),
    [
        ("nowhere", {}, "nowhere: no such data folder; put your faces there, `dvc pull` them, or set data$"),
        ("faces", {"fake": "fakes"}, "faces/fakes: the folder of fake faces is missing; create it or set fake$"),
        ("faces", {"train": 0.9}, "^protocol fractions needs train, val and test above 0"),
        ("faces", {"protocol": "no"}, "^protocol = 'no': must be 'fractions', "),
        ("faces", {"protocol": "task"}, "asks for 501; add images, or set protocol: fractions$"),
        ("faces", {"group_by": "folder"}, "^group_by = 'folder': no image is in a sub-folder of its class"),
        ("faces", {"seed": 1.5, "image_size": 8}, "^seed = 1.5: must be a valid integer"),
    ],
)
def test_what_is_wrong_is_named_by_the_argument(faces, function, place, change, answer):
    with pytest.raises(fakeface.UserError, match=answer):
        function(place, **change)


def test_paths_of_every_kind(faces, monkeypatch):
    table = quietly(fakeface.split, "faces", image_size=64)
    monkeypatch.setenv("HOME", os.getcwd())
    for place, real in ((faces.resolve(), Path("0_real")), ("~/faces", "0_real/"), (f"{faces}/../faces/", "0_real")):
        pd.testing.assert_frame_equal(quietly(fakeface.split, place, real=real, image_size=64), table)


def test_packages_of_the_same_names_do_not_hide_the_functions():
    code = (
        "import fakeface.split.names, fakeface.audit.persons; from fakeface import split; print(split, fakeface.audit)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("<function split")
    assert "<function audit" in said


def test_without_the_pipelines_packages_one_line_says_what_to_install(faces, monkeypatch):
    monkeypatch.setitem(sys.modules, "imagehash", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "imagehash" else name)
    for function in (fakeface.split, fakeface.audit, lambda folder: fakeface.compare("finetune", folder)):
        with pytest.raises(fakeface.UserError, match=r"imagehash.*pip install .*pipeline"):
            function("faces")
