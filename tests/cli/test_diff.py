"""`fakeface diff`: what changed between a commit and the working folder, from the files that git keeps."""

import json
import re
import shutil
import subprocess

import pandas as pd
import pytest
from conftest import ROOT, Project

from fakeface.cli.diff import FIGURES, PAIRS, SUMMARY, markdown
from fakeface.core.errors import UserError


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The committed results of this project, committed once more."""
    for name in ("params.yaml", FIGURES, PAIRS, SUMMARY):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], check=True)
    return Project(tmp_path)


def section(text, title):
    return re.search(rf"^### {title}.*?\n\n(.*?)(?=\n### |\Z)", text, re.DOTALL | re.MULTILINE)[1].strip()


def test_nothing_changed(project):
    text = markdown("main")
    assert re.match(r"## Against main \([0-9a-f]{7,}\)\n", text)
    assert section(text, "Parameters") == "None changed."
    assert section(text, "Data") == "The same images and the same split."
    rows = section(text, "Test figures").splitlines()[2:]
    assert len(rows) == 6
    assert all(re.search(r"\| \+0\.0(00)? \|$", row) for row in rows)
    assert section(text, "Pairs now").count("\n- ") == 2


def test_parameters_data_and_figures_that_changed(project):
    project.set(train_scratch={"epochs": 21}, evaluate={"seeds": [1]})
    figures = pd.read_csv(FIGURES)
    headline = (figures["approach"] == "extractor") & (figures["figure"] == "balanced_accuracy_at_threshold")
    figures.loc[headline, ["value", "low", "high"]] = 0.955, 0.91, 0.99
    figures[figures["approach"] != "finetune"].to_csv(FIGURES, index=False)
    summary = json.loads((ROOT / SUMMARY).read_text())
    summary |= {"data_hash": "0" * 64, "images": 601}
    (project.path / SUMMARY).write_text(json.dumps(summary))
    text = markdown("HEAD")
    assert section(text, "Parameters").splitlines()[2:] == [
        "| `train_scratch.epochs` | `20` | `21` |",
        "| `evaluate.seeds` | `[]` | `[1]` |",
    ]
    assert "| images | 600 | 601 |" in section(text, "Data")
    assert "The test images differ" in section(text, "Data")
    shown = section(text, "Test figures")
    assert re.search(
        r"^\| extractor \| balanced accuracy, % \| 98\.0 \(.*\) \| 95\.5 \(91\.0 to 99\.0\) \| -2\.5 \|$",
        shown,
        re.MULTILINE,
    )
    assert re.search(r"^\| finetune \| ROC-AUC \| 1\.000.* \| \| \|$", shown, re.MULTILINE)  # it is no longer there


@pytest.mark.parametrize(
    ("revision", "removed", "answer"),
    [
        ("nowhere", None, "nowhere: no such revision"),
        ("main", SUMMARY, f"{SUMMARY}: No such file or directory; run `dvc repro` first"),
    ],
)
def test_what_is_not_there_is_named(project, revision, removed, answer):
    if removed:
        (project.path / removed).unlink()
    with pytest.raises(UserError, match=re.escape(answer)):
        markdown(revision)


def test_a_commit_without_results_is_named(project):
    subprocess.run(["git", "rm", "-q", "--cached", PAIRS, FIGURES], check=True)
    subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "x"], check=True)
    with pytest.raises(UserError, match=r"figures.csv: is not in [0-9a-f]+; choose a revision"):
        markdown("HEAD")


@pytest.mark.parametrize(("name", "text"), [("params.yaml", "base: ["), (SUMMARY, "{"), (FIGURES, "")])
def test_a_damaged_file_is_named(project, name, text):
    (project.path / name).write_text(text)
    with pytest.raises(UserError, match=rf"^{re.escape(name)}: not readable \("):
        markdown("main")
