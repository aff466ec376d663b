"""The speed benchmark at tiny sizes: it runs, its figures fit together, and it needs neither DVC nor MLflow."""

import json
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, Project, write_faces

SCRIPT = ROOT / "benchmarks" / "article_vs_fakeface.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return Project(ROOT).run("python", str(SCRIPT), *arguments, check=False)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_prints_a_table_and_writes_what_it_measured(tmp_path: Path) -> None:
    write_faces(tmp_path / "faces", 8, size=64)
    approaches = ["scratch", "extractor", "evaluation"]
    sizes = ["--images", "8", "--alternations", "2", "--epochs", "3", "--views", "2", "--crop", "96"]
    settings = ["--threads", "1", "--workers", "1", "--matrix", "512", *(f"--approach={name}" for name in approaches)]
    out = tmp_path / "out.json"
    done = run("--data", str(tmp_path / "faces"), *sizes, *settings, "--json", str(out))
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert [row.split()[1] for row in rows[2:]] == approaches
    assert len({row.count("|") for row in rows}) == 1

    measured = json.loads(out.read_text())
    assert measured["store"]["images"] == 10  # 8 to train on, 2 to validate on
    assert measured["store"]["megabytes"] == pytest.approx(10 * 3 * 256 * 256 / 1e6, rel=0.01)
    results = measured["results"]
    assert {name: row["images"] for name, row in results.items()} == {
        "scratch": 10,
        "extractor": 30,  # three epochs of the article's
        "evaluation": 8,
    }
    for row in results.values():
        assert len(row["ratios"]) == 2
        assert row["article"]["precision"] == "fp32"
        for side in (row["article"], row["fakeface"]):
            assert side["images_per_second"] > 0
            assert 0 < side["share_of_ceiling"] < 1.5
            assert not {"dvc", "mlflow", "pandas"} & set(side["imported"])
            if Path("/proc/self/smaps_rollup").exists():
                assert 50 < side["peak_megabytes"] < 5000
    # both sides count the same operations for the same work; cached features save most of the extractor's
    for name in ("scratch", "evaluation"):
        assert results[name]["article"]["gflop"] == pytest.approx(results[name]["fakeface"]["gflop"])
    extractor = results["extractor"]
    assert extractor["fakeface"]["gflop"] / extractor["article"]["gflop"] == pytest.approx((2 * 8 + 2) / 30, rel=0.01)
