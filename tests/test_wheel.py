"""The wheel holds what it must; in an environment of its own it answers for a photo, makes a project and upgrades it."""

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import TINY, Project, copy_project, environment, write_faces

pytestmark = pytest.mark.slow
# Files outside the package that `fakeface new` writes a project from.
PROJECT = (
    "stages/",
    "recipes/",
    "dvc.yaml",
    "params.yaml",
    ".dvc/plots/",
    ".dvc/.gitignore",
    ".dvcignore",
    ".gitignore",
)


def build(tree: Path, folder: Path) -> Path:
    """A wheel of the tree, by the build backend that is installed."""
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "-q"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, tree], check=True, timeout=120
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """What git carries, in a folder of its own."""
    return copy_project(tmp_path_factory.mktemp("tree")).path


@pytest.fixture(scope="module")
def wheel(tree, tmp_path_factory):
    return build(tree, tmp_path_factory.mktemp("wheel"))


def content(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_package_and_what_a_project_needs_and_nothing_else(tree, wheel):
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=tree, capture_output=True, text=True)
    wanted = {name: name for name in listed.stdout.split() if name.startswith("fakeface/")}
    wanted |= {f"fakeface/project/{name}": name for name in listed.stdout.split() if name.startswith(PROJECT)}
    found = {name: text for name, text in content(wheel).items() if ".dist-info/" not in name}
    assert found == {name: (tree / source).read_bytes() for name, source in wanted.items()}
    assert {"fakeface/py.typed", "fakeface/sample/generator.npz", "fakeface/project/.dvc/.gitignore"} <= set(found)
    assert {Path(name).suffix for name in found} <= {
        ".py",
        ".html",
        ".css",
        ".js",
        ".json",
        ".md",
        ".yaml",
        ".toml",
        ".npz",
        ".typed",
        "",
    }


def test_a_wheel_built_from_the_source_distribution_is_the_same(tree, wheel, tmp_path):
    code = f"from hatchling.build import build_sdist; build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=tree, check=True, timeout=120, capture_output=True)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build(next(path for path in tmp_path.iterdir() if path.is_dir()), tmp_path / "again")
    assert content(again) == content(wheel)


class Installed:
    """An environment that has fakeface from a wheel, and sees the other packages of this one but not this one's fakeface."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.bin = folder / "bin"
        self.install(wheel)
        packages = next(folder.glob("lib/*/site-packages"))
        # paths in a .pth file come last, and .pth files in those are not read: an editable fakeface is not seen
        (packages / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
        (self.bin / "dvc").write_text('#!/bin/sh\nexec python -m dvc "$@"\n')
        (self.bin / "dvc").chmod(0o755)

    def install(self, wheel: Path) -> None:
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            self.bin / "python",
            "install",
            "-q",
            "--disable-pip-version-check",
        ]
        subprocess.run([*pip, "--no-deps", "--no-index", "--force-reinstall", wheel], check=True, timeout=120)

    def run(self, folder: Path, *command: str, code: int = 0) -> str:
        """What the command says in `folder`."""
        env = environment(PYTHONPATH="")
        env["PATH"] = f"{self.bin}:{env['PATH'].partition(':')[2]}"
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr


@pytest.mark.exhaustive
@pytest.mark.timeout(1200)
def test_from_a_wheel_to_a_verdict_and_on_to_the_next_version(tree, wheel, tmp_path):
    installed, empty = Installed(tmp_path / "env", wheel), tmp_path / "empty"
    empty.mkdir()
    where = installed.run(empty, "python", "-c", "import fakeface; print(fakeface.__file__, fakeface.load_detector)")
    assert where.startswith(str(tmp_path / "env"))
    installed.run(tmp_path, "fakeface", "new", "faces")
    project = Project(tmp_path / "faces")
    write_faces(project.path / "data/raw", 24)
    project.set(**TINY)
    project.set(split={"train": 0.5, "val": 0.25, "test": 0.25})
    installed.run(project.path, "fakeface", "use", "data/raw")
    assert "24 real and 24 fake" in installed.run(project.path, "fakeface", "check")
    project.commit("first")

    installed.run(project.path, "dvc", "repro")
    assert json.loads(installed.run(project.path, "dvc", "status", "--json")) == {}
    assert "Running" not in installed.run(project.path, "dvc", "repro")
    assert (project.path / "reports/index.html").is_file()
    project.commit("results")
    assert "None changed." in installed.run(project.path, "fakeface", "diff", "HEAD")
    assert installed.run(project.path, "fakeface", "card").startswith("# Model card")
    assert "3 linked to dvc.lock" in installed.run(project.path, "fakeface", "publish")
    assert installed.run(project.path, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    model, photo = project.path / "models/finetune", project.path / "data/raw/1_fake/0000.jpg"
    said = installed.run(empty, "fakeface", "predict", str(photo), "--model", str(model), "--format", "jsonl")
    assert json.loads(said.splitlines()[-1] if said.startswith("note") else said.splitlines()[0])["verdict"] in (
        "real",
        "fake",
        "unsure",
    )
    assert not list(empty.iterdir())

    changed = tree / "fakeface/explain/stage.py"
    before, pyproject = changed.read_text(), (tree / "pyproject.toml").read_text()
    changed.write_text(before + "\n# another version\n")
    (tree / "pyproject.toml").write_text(re.sub('^version = ".*"$', 'version = "9.0.0"', pyproject, flags=re.MULTILINE))
    try:
        installed.install(build(tree, tmp_path / "next"))
    finally:
        changed.write_text(before)
        (tree / "pyproject.toml").write_text(pyproject)
    refused = installed.run(project.path, "python", "-m", "stages.explain", code=1)
    assert re.fullmatch(
        r"error: code\.yaml: written for fakeface \S+, but 9\.0\.0 is installed; run `fakeface upgrade`\n", refused
    )
    assert "packages that changed: explain\n" in installed.run(project.path, "fakeface", "upgrade")
    status = json.loads(installed.run(project.path, "dvc", "status", "--json"))
    assert status == {"explain": [{"changed deps": {"code.yaml": {"explain": "modified"}}}]}
    assert re.findall("Running stage '(.*)'", installed.run(project.path, "dvc", "repro")) == ["explain"]
    assert json.loads(installed.run(project.path, "dvc", "status", "--json")) == {}
