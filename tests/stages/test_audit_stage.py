"""The audit through its stage: shortcuts stop the pipeline, and leave a page that says why."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow
FRACTIONS = {"protocol": "fractions", "train": 0.5, "val": 0.25, "test": 0.25}
DATA = os.environ.get("FAKEFACE_DATA", "")
JPEG = {"suffix": "jpg", "quality": 90}
OUTPUTS = ["audit.json", "files.csv", "index.html", "pairs.csv"]


def write_set(folder: Path, real=JPEG, fake=JPEG, n: int = 40) -> None:
    """`n` smooth random pictures a class, noise of one kind in both; each class is written its own way."""
    rng = np.random.default_rng(0)
    for i in range(n):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        deviation = rng.uniform(4, 30)
        for name, how in (("0_real", real), ("1_fake", fake)):
            options = dict(how)
            suffix, side = options.pop("suffix"), options.pop("side", 96)
            smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)).astype(float)
            noisy = np.clip(smooth + rng.normal(0, deviation, smooth.shape), 0, 255).astype(np.uint8)
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(noisy).save(folder / name / f"{i:04d}.{suffix}", **options)


@pytest.fixture
def audit(project, tmp_path):
    """Writes a set, splits it, audits it; returns the stage's result and audit.json."""

    def run(real=JPEG, fake=JPEG, split=None, plant=None, **parameters):
        write_set(tmp_path / "set", real, fake)
        if plant:
            plant(tmp_path / "set")
        project.set(split={"data": str(tmp_path / "set"), **FRACTIONS, **(split or {})}, audit={"on_shortcut": "fail"})
        project.set(audit=parameters)
        project.run("python", "-m", "stages.split")
        result = project.run("python", "-m", "stages.audit", check=False)
        assert "Traceback" not in result.stderr
        reports = project.path / "reports" / "audit"
        assert sorted(path.name for path in reports.iterdir()) == OUTPUTS  # whether it failed or not
        return result, json.loads((reports / "audit.json").read_text())

    return run


@pytest.mark.exhaustive
def test_a_clean_set_passes_with_the_same_bytes_again(audit, project):
    result, figures = audit()
    assert result.returncode == 0, result.stderr
    assert figures["verdict"] in ("pass", "warn")
    assert figures["balanced_accuracy"]["metadata"] == 0.5
    assert figures["exact_duplicates"] == figures["photos_in_several_splits"] == 0
    before = project.files("reports/audit")
    shutil.rmtree(project.path / "reports/audit")
    project.run("python", "-m", "stages.audit")
    assert project.files("reports/audit") == before
    assert all(len(data) < 1_000_000 for data in before.values())


@pytest.mark.parametrize(
    ("real", "fake", "probe", "words"),
    [
        (JPEG, {"suffix": "png"}, "metadata", "format (JPEG: 100 % of the reals, 0 % of the fakes)"),
        (JPEG, JPEG | {"side": 128}, "metadata", "size (128 x 128: 0 % of the reals, 100 % of the fakes)"),
    ],
)
def test_a_shortcut_fails_in_one_line_and_leaves_the_page(audit, project, real, fake, probe, words):
    result, figures = audit(real, fake)
    assert result.returncode == 1
    line = result.stderr.replace("\r", "\n").splitlines()[-1]
    assert line.startswith("error: ")
    for word in (f"audit.max_{probe} = 0.65", words, "audit.on_shortcut: warn", "reports/audit/index.html"):
        assert word in line
    assert figures["verdict"] == "fail"
    low, high = figures["interval_95"][probe]
    assert 0.65 < low <= figures["balanced_accuracy"][probe] <= high
    assert "Fail." in (project.path / "reports/audit/index.html").read_text()

    project.set(audit={"on_shortcut": "warn"})
    warned = project.run("python", "-m", "stages.audit")
    assert "warning: " in warned.stdout
    assert json.loads((project.path / "reports/audit/audit.json").read_text())["verdict"] == "warn"


@pytest.mark.exhaustive
def test_planted_copies_and_leaks_are_found_and_names_are_only_text(audit, project):
    def plant(folder):
        shutil.copy(folder / "0_real/0000.jpg", folder / "0_real/<script>alert(1).jpg")
        shutil.copy(folder / "0_real/0001.jpg", folder / "1_fake/other.jpg")
        with Image.open(folder / "0_real/0002.jpg") as image:
            image.save(folder / "0_real/near.jpg", quality=80)

    result, figures = audit(split={"group_by": "none"}, plant=plant, on_shortcut="warn")
    assert result.returncode == 0
    assert figures["exact_duplicates"] == 2
    assert figures["near_duplicates"] >= 1
    assert figures["photos_in_several_splits"] > 0
    assert figures["verdict"] == "warn"
    assert "1 files of one class are byte for byte in the other class too" in result.stdout
    page = (project.path / "reports/audit/index.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1).jpg" in page
    pairs = (project.path / "reports/audit/pairs.csv").read_text()
    assert "exact,0_real/0001.jpg,1_fake/other.jpg" in pairs
    assert re.search(r"near,0_real/0002\.jpg,0_real/near\.jpg", pairs)


@pytest.mark.exhaustive
def test_dvc_stops_before_any_training_and_the_page_is_there(project, tmp_path):
    write_set(project.path / "data/raw", JPEG, {"suffix": "png"})
    project.set(split={"data": "data/raw", **FRACTIONS}, sample={"count": 0}, audit={"on_shortcut": "fail"})
    result = project.run("dvc", "repro", check=False)
    assert result.returncode
    ran = re.findall(r"Running stage '(\w+)'", result.stdout)
    assert ran == ["check", "sample", "split", "audit"]
    assert "audit.max_metadata" in result.stderr
    for name in OUTPUTS:
        assert (project.path / "reports/audit" / name).is_file()
    assert "\n  audit:" not in (project.path / "dvc.lock").read_text()
    project.set(audit={"on_shortcut": "warn"})
    assert re.findall(r"Running stage '(\w+)'", project.run("dvc", "repro", "audit").stdout) == ["check", "audit"]
    # the stage does not name the data folder, and yet follows it: a file that is not used, then one that is
    for name, ran in (("notes.txt", ["split", "audit"]), ("0_real/0000.jpg", ["split", "audit"])):
        (project.path / "data/raw" / name).write_bytes((project.path / "data/raw/0_real/0001.jpg").read_bytes())
        assert re.findall(r"Running stage '(\w+)'", project.run("dvc", "repro", "audit").stdout) == ran
    page = (project.path / "reports/audit/index.html").read_text()
    assert "Not used: 1 files beside the class folders" in page
    assert json.loads((project.path / "reports/audit/audit.json").read_text())["exact_duplicates"] == 1


@pytest.mark.skipif(not DATA, reason="FAKEFACE_DATA is not set: name the folder that holds stargan-celeba-128")
def test_real_faces_and_their_stargan_edits_pass(project):
    faces = Path(DATA, "stargan-celeba-128").resolve()
    project.run("fakeface", "recipe", "stargan128", "--data", str(faces))
    project.run("python", "-m", "stages.split")
    project.run("python", "-m", "stages.audit")
    figures = json.loads((project.path / "reports/audit/audit.json").read_text())
    assert figures["verdict"] == "pass"
    assert figures["balanced_accuracy"]["metadata"] < 0.55
