"""The stage `report` on figures made up: what it reads, the same bytes again, whose minutes it shows, what is missing."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_report import EVIL, PIXELS, results

from fakeface.images.store import COLUMNS
from fakeface.training.outcome import keep_cost

pytestmark = pytest.mark.slow
NAMES = ["scratch", "extractor", "finetune"]


@pytest.fixture
def filled(project):
    """The project with everything that the stage reads, as small as it goes."""
    made, root = results(), project.path

    def write(path, content):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pd.DataFrame):
            content.to_csv(target, index=False)
        else:
            target.write_text(json.dumps(content))

    for number, name in enumerate(NAMES):
        write(f"models/{name}/card.json", made.cards[name] | {"sha256": str(number) * 64})
        write(f"reports/cost/{name}.json", made.costs[name] | {"model_sha256": str(number) * 64})
    write("reports/evaluate/metrics.json", {})
    for table in ("figures", "pairs"):
        write(f"reports/evaluate/{table}.csv", getattr(made, table))
    write("reports/robustness/table.csv", made.cells)
    write("reports/robustness/metrics.json", made.robustness)
    write("reports/explain/errors.csv", made.errors)
    for part, path in {
        "split": "split/summary",
        "audit": "audit/audit",
        "seeds": "seeds/seeds",
        "leak": "leak/leak",
        "leave_out": "leave_out/leave_out",
    }.items():
        write(f"reports/{path}.json", getattr(made, part))
    for folder, suffix in (("evaluate", "png"), ("robustness", "png"), ("explain", "jpg")):
        (root / "reports" / folder / "figures").mkdir()
        Image.new("RGB", (1500, 300), "white").save(root / "reports" / folder / "figures" / f"roc.{suffix}")
    paths = [EVIL, "0_real/1.jpg"]
    manifest = pd.DataFrame([(path, 0, "", path, "test", 32, 32, "JPEG") for path in paths], columns=COLUMNS)
    write("data/split/manifest.csv", manifest)
    np.save(root / "data/split/pixels.npy", np.stack([PIXELS] * len(paths)))
    return project


def page(project) -> bytes:
    return (project.path / "reports/index.html").read_bytes()


def test_the_page_is_the_same_again_and_names_are_only_text(filled):
    result = filled.run("python", "-m", "stages.report")
    assert result.stdout.startswith("scratch: 96.0 % balanced accuracy on test; reports/index.html")
    first = page(filled)
    text = first.decode()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "2.5 minutes" in text
    assert "base:\n  seed: 0" in text
    assert str(filled.path) not in text
    filled.run("python", "-m", "stages.report")
    assert page(filled) == first


def test_after_a_detour_the_page_is_the_same(filled):
    """Another model was trained, or this one once more: the first measurement of this one still counts."""
    filled.run("python", "-m", "stages.report")
    first, path = page(filled), filled.path / "reports/cost/scratch.json"
    keep_cost(path, "of another model", 999.0, 4, "another processor")
    filled.run("python", "-m", "stages.report")
    assert page(filled) == first
    keep_cost(path, "0" * 64, 999.0, 4, "another processor")
    filled.run("python", "-m", "stages.report")
    assert page(filled) == first


@pytest.mark.parametrize(
    "record",
    [
        '{"model_sha256": "of another model", "minutes": 9.9, "earlier": 1}',
        '{"model_sha256": "of another model", "minutes": 9.9}',
        "not json",
    ],
)
def test_minutes_of_another_model_are_not_shown(filled, record):
    (filled.path / "reports/cost/scratch.json").write_text(record)
    filled.run("python", "-m", "stages.report")
    text = page(filled).decode()
    assert "9.9" not in text
    assert "the cost of scratch was not measured" in text


def test_what_is_missing_is_named(filled):
    (filled.path / "reports/explain/errors.csv").unlink()
    result = filled.run("python", "-m", "stages.report", check=False)
    assert result.returncode == 1
    assert (
        result.stderr == "error: reports/explain/errors.csv: is missing; run `dvc repro report`, which makes it first\n"
    )
    assert not (filled.path / "reports/index.html").exists()
