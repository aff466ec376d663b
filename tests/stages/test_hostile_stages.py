"""The corpus of odd and hostile files through the stages and `fakeface predict`: answered file by file."""

import csv
import json
import shutil

import pandas as pd
import pytest
import torch
from conftest import write_faces
from hostile import Case, encoded, write_corpus

from fakeface.core.errors import printable
from fakeface.detector.checkpoints import save
from fakeface.detector.networks import build

pytestmark = pytest.mark.slow
LONGEST = 300  # seconds, on a busy core


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> list[Case]:
    """A data folder: the corpus and two clean faces in 0_real, twelve clean faces in 1_fake."""
    folder = tmp_path_factory.mktemp("hostile") / "data"
    cases = write_corpus(folder / "0_real", tmp_path_factory.mktemp("outside"))
    write_faces(folder / "faces", 12)
    shutil.move(folder / "faces" / "1_fake", folder / "1_fake")
    return cases


def usable(case: Case) -> bool:
    return case.readable and not case.outside and case.text


def expected_reason(case: Case) -> str:
    return "outside" if case.outside else case.words if case.text else "a manifest cannot hold"


def folder_of(corpus):
    return corpus[0].path.parent.parent


def one_line(result) -> str:
    """The last line on stderr, which is all that was said but for progress and libtiff's own notes."""
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.replace("\r", "\n").splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert lines[0].isprintable()
    return lines[0]


def test_split_leaves_out_what_cannot_be_used_and_the_audit_reads_the_rest(corpus, project):
    project.set(
        base={"tracking": False},
        split={"data": str(folder_of(corpus)), "on_bad_image": "skip", "train": 0.5, "val": 0.25, "test": 0.25},
        audit={"on_shortcut": "warn", "folds": 2},
    )
    result = project.run("python", "-m", "stages.split", timeout=LONGEST)
    assert "Traceback" not in result.stderr
    assert "Warning" not in result.stderr
    manifest = pd.read_csv(project.path / "data/split/manifest.csv", keep_default_na=False)
    kept = set(manifest.loc[manifest["label"] == 0, "path"])
    assert kept == {f"0_real/{case.name}" for case in corpus if usable(case)}  # line breaks in names and all
    with open(project.path / "reports/split/skipped.csv", encoding="utf-8", newline="") as file:
        skipped = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    bad = [case for case in corpus if not usable(case) and not case.path.is_dir()]
    assert set(skipped) == {printable(f"0_real/{case.name}") for case in bad}
    for case in bad:
        assert expected_reason(case) in skipped[printable(f"0_real/{case.name}")]

    result = project.run("python", "-m", "stages.audit", timeout=LONGEST)
    assert "Traceback" not in result.stderr
    page = (project.path / "reports/audit/index.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<img src=x" not in page
    assert len(pd.read_csv(project.path / "reports/audit/files.csv", keep_default_na=False)) == len(manifest)


def test_split_that_may_not_skip_names_the_first_file_in_one_line(corpus, project):
    project.set(base={"tracking": False}, split={"data": str(folder_of(corpus)), "on_bad_image": "fail"})
    result = project.run("python", "-m", "stages.split", check=False, timeout=LONGEST)
    assert result.returncode == 1
    line = one_line(result)
    assert any(printable(case.name) in line and expected_reason(case) in line for case in corpus if not usable(case))
    assert "split.on_bad_image: skip" in line
    assert not (project.path / "data/split").exists()


@pytest.mark.parametrize("name", ["two\nlines.jpg", "\x1b[2J.jpg", "latin \udce9.jpg"])
def test_a_name_with_anything_in_it_is_one_line(project, tmp_path, name):
    write_faces(tmp_path / "data", 2)
    (tmp_path / "data" / "0_real" / name).write_bytes(b"")
    project.set(split={"data": str(tmp_path / "data"), "on_bad_image": "fail"})
    result = project.run("python", "-m", "stages.split", check=False)
    assert result.returncode == 1
    assert printable(name) in one_line(result)


@pytest.mark.exhaustive
def test_an_extra_set_is_read_like_the_split(corpus, project):
    """Without models the stage would stop: three with random weights stand in."""
    write_faces(project.path / "data/raw", 12)
    project.set(base={"tracking": False}, split={"data": "data/raw", "train": 0.5, "val": 0.25, "test": 0.25})
    project.run("python", "-m", "stages.split")
    data_hash = json.loads((project.path / "reports/split/summary.json").read_text())["data_hash"]
    for approach in ("scratch", "extractor", "finetune"):
        save_model(project.path / "models" / approach, approach, data_hash)
    project.set(split={"on_bad_image": "skip"})
    project.set(evaluate={"extra_sets": {"hostile": str(folder_of(corpus))}, "resamples": 100})
    result = project.run("python", "-m", "stages.extra", "hostile", timeout=LONGEST)
    assert "Traceback" not in result.stderr
    predictions = pd.read_csv(project.path / "reports/extra/hostile/predictions.csv", keep_default_na=False)
    assert set(predictions.loc[predictions["label"] == 0, "path"]) == {f"0_real/{c.name}" for c in corpus if usable(c)}
    notes = [line for line in result.stdout.splitlines() if line.startswith("note: ")]
    for case in corpus:
        if not usable(case) and not case.path.is_dir():
            assert any(printable(case.name) in line and expected_reason(case) in line for line in notes)
    project.set(split={"on_bad_image": "fail"})
    result = project.run("python", "-m", "stages.extra", "hostile", check=False, timeout=LONGEST)
    assert result.returncode == 1
    assert "split.on_bad_image: skip" in one_line(result)


@pytest.mark.exhaustive
def test_an_extra_set_has_a_row_for_each_generator(project):
    write_faces(project.path / "data/raw", 12)
    names = ("stargan", "sdxl", "flux")
    for k, path in enumerate(sorted((project.path / "data/raw/1_fake").iterdir())):
        place = project.path / "extra/1_fake" / names[k % 3] / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    project.set(base={"tracking": False}, split={"data": "data/raw", "train": 0.5, "val": 0.25, "test": 0.25})
    project.run("python", "-m", "stages.split")
    data_hash = json.loads((project.path / "reports/split/summary.json").read_text())["data_hash"]
    for approach in ("scratch", "extractor", "finetune"):
        save_model(project.path / "models" / approach, approach, data_hash)
    project.set(evaluate={"extra_sets": {"more": "extra"}, "resamples": 100})
    project.run("python", "-m", "stages.extra", "more", timeout=LONGEST)
    rows = json.loads((project.path / "reports/extra/more/metrics.json").read_text())["by_folder"]
    assert {name: row["images"] for name, row in rows.items()} == {f"fake: 1_fake/{name}": 4 for name in sorted(names)}
    assert "| fake: 1_fake/sdxl | 4 |" in (project.path / "reports/extra/more/table.md").read_text()


def save_model(folder, approach, data_hash="a" * 64):
    torch.manual_seed(0)
    card = {"approach": approach, "network": "mynet", "image_size": 96, "crop_size": 96, "threshold": 0.5}
    card |= {"temperature": 1.0, "data_hash": data_hash, "seed": 0, "threads": 1, "precision": "fp32", "metrics": {}}
    save(folder, build("mynet", 96), card)


@pytest.mark.exhaustive
def test_the_served_model_answers_every_row(corpus, tmp_path):
    """Loaded by MLflow from its files, as `mlflow models serve` does it."""
    import mlflow

    from fakeface.tracking.package import save_detector

    save_model(tmp_path / "checkpoint", "scratch")
    card = json.loads((tmp_path / "checkpoint/card.json").read_text())
    save_detector(tmp_path / "model", tmp_path / "checkpoint", card)
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    named = [case for case in corpus if case.name.isascii() or case.text]  # others cannot be sent as text
    table = model.predict(pd.DataFrame({"image": [str(case.path) for case in named]}))  # a path is none of the ways
    assert len(table) == len(named) > 150
    assert (table["label"] == -1).all()
    assert table["problem"].map(str.isprintable).all()
    sent = [case for case in corpus if case.path.is_file() and not case.outside and case.path.stat().st_size < 1e7]
    table = model.predict(pd.DataFrame({"image": [case.path.read_bytes() for case in sent]}))
    assert (table["problem"] == "").tolist() == [case.readable for case in sent]


@pytest.mark.exhaustive
def test_predict_answers_every_file_and_exits_1(corpus, project):
    save_model(project.path / "models/scratch", "scratch")
    # named one by one: such a file may lie anywhere; names that begin with - are given with their folder
    names = b"\0".join(str(case.path).encode("utf-8", "surrogateescape") for case in corpus)
    (project.path / "list").write_bytes(names)
    command = "fakeface predict --model scratch --fast -0 --format json - < list"
    result = project.run("sh", "-c", command, check=False, timeout=LONGEST)
    assert result.returncode == 1, result.stderr[-2000:]
    assert "Traceback" not in result.stderr
    rows = json.loads(result.stdout)
    named = [case for case in corpus if not case.path.is_dir()]
    assert len(rows) >= len(named)
    answers = [(row["score"] is not None, row["problem"]) for row in rows]
    by_name = dict(zip([row["path"].rsplit("/", 1)[-1] for row in rows], answers, strict=True))
    for case in named:
        name = case.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        scored, problem = by_name[name]
        assert scored == case.readable, f"{name}: {problem}"
        assert case.words in problem


@pytest.mark.exhaustive
def test_links_of_dvc_into_its_cache_go_on_working(project):
    write_faces(project.path / "data/raw", 12)
    project.set(base={"tracking": False}, sample={"count": 0}, split={"data": "data/raw"})
    project.set(split={"train": 0.5, "val": 0.25, "test": 0.25})
    project.run("python", "-m", "stages.split")
    copies = (project.path / "data/split/manifest.csv").read_bytes()
    project.run("dvc", "config", "cache.type", "symlink")
    project.run("dvc", "add", "data/raw")
    links = [path for path in (project.path / "data/raw").rglob("*.jpg") if path.is_symlink()]
    assert len(links) == 24
    assert all(".dvc" in str(path.resolve()) for path in links)
    project.run("python", "-m", "stages.split")
    assert (project.path / "data/split/manifest.csv").read_bytes() == copies
    project.run("python", "-m", "stages.audit")

    links[0].unlink()
    outside = project.path / "secret.jpg"
    outside.write_bytes(encoded("JPEG"))
    links[0].symlink_to(outside)
    result = project.run("python", "-m", "stages.split", check=False)
    assert "leads outside the data folder" in one_line(result)
