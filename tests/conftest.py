"""What the tests share: a copy of the project with tiny parameters, tiny faces, and a way to run commands in it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

# Before torch is loaded: small work is faster on one thread, and threads that wait must not keep a core from the tests that
# run beside these. Stages that are started take their number of threads from params.yaml.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}

# Whoever starts the tests in the background may have Ctrl-C ignored, and the stages that the tests start would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
TINY = {
    "base": {"image_size": 96, "threads": 1},  # the smallest that mynet's five poolings allow
    "sample": {"count": 24},
    "audit": {"on_shortcut": "warn"},  # the noisy fakes of `write_faces` make large files
    "features": {"crop_size": 48, "views": 2},
    "train_scratch": {"network": "mynet", "crop_size": 96, "epochs": 2},
    "train_extractor": {"epochs": 3},
    "train_finetune": {"crop_size": 48, "epochs": 1},
    "robustness": {"images": 3},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first: started last, one of them would keep a single process busy at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@dataclass(frozen=True)
class Project:
    """A copy of the project in a folder of its own, a git and DVC repository without cache or remote."""

    path: Path

    def run(
        self, *command: str, check: bool = True, timeout: int = 300, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in the project with this environment's programs first on the PATH."""
        result = subprocess.run(
            command, cwd=self.path, env=environment(**env), capture_output=True, text=True, timeout=timeout
        )
        if check and result.returncode:
            raise AssertionError(
                f"{command} exited {result.returncode}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
            )
        return result

    def set(self, **sections: dict) -> None:
        """Changes values in params.yaml: `set(base={"seed": 1})`."""
        yaml, path = YAML(), self.path / "params.yaml"
        values = yaml.load(path.read_text())
        for name, section in sections.items():
            values[name].update(section)
            for key in set(section) & set(values[name].ca.items):
                values[name].ca.items[key][3] = None  # as fakeface/cli/recipes.py does, and for its reason
        yaml.dump(values, path)

    def files(self, folder: str) -> dict[str, bytes]:
        """Name -> bytes of what lies in a folder at any depth, but for DVC's own .gitignore."""
        paths = [
            path for path in sorted((self.path / folder).rglob("*")) if path.is_file() and path.name != ".gitignore"
        ]
        return {path.relative_to(self.path / folder).as_posix(): path.read_bytes() for path in paths}

    def commit(self, message: str = "change") -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)


def environment(**extra: str) -> dict[str, str]:
    """This process's environment without what would lead a stage away from its own folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_", "GIT_"))}
    return kept | {"PATH": f"{BIN}{os.pathsep}{kept['PATH']}", "DVC_NO_ANALYTICS": "1"} | identity() | extra


def identity() -> dict[str, str]:
    return {
        f"GIT_{who}_{what}": f"{what.lower()}@test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }


def copy_project(path: Path) -> Project:
    """Copies the files that git would carry, with uncommitted changes, and commits them."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)
    project = Project(path)
    project.run("git", "init", "-q", "-b", "main")
    return project


def copy_files(path: Path, *names: str) -> Project:
    """A folder with some of the project's files, and no repository."""
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, path / name)
    return Project(path)


def tiny_on_faces(path: Path, **sections: dict) -> Project:
    """A copy of the project with tiny parameters, changed by `sections`, on 24 pairs of faces; nothing run yet, no tracking."""
    project = copy_project(path)
    write_faces(project.path / "data" / "raw", 24)
    project.set(**TINY)
    project.set(
        base={"tracking": False},
        sample={"count": 0},
        split={"data": "data/raw", "train": 0.5, "val": 0.25, "test": 0.25},
    )
    project.set(**sections)
    project.commit("tiny")
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The project with tiny parameters, nothing run yet."""
    project = copy_project(tmp_path / "project")
    (project.path / "dvc.lock").unlink()
    shutil.rmtree(project.path / "reports")
    project.set(**TINY)
    project.commit("tiny")
    return project


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny project up to data/split and data/features; tests that train in it use `trainable`."""
    project = copy_project(tmp_path_factory.mktemp("prepared") / "project")
    project.set(**TINY)
    project.commit("tiny")
    project.run("dvc", "repro", "features")
    return project


@pytest.fixture
def trainable(prepared: Project) -> Iterator[Project]:
    """The prepared project; its parameters are put back afterwards."""
    before = (prepared.path / "params.yaml").read_bytes()
    yield prepared
    (prepared.path / "params.yaml").write_bytes(before)


def write_faces(folder: Path, n: int, size: int = 96, seed: int = 0) -> None:
    """`n` smooth random pictures in 0_real and a noisier copy of each in 1_fake, under the same names."""
    rng = np.random.default_rng(seed)
    for name in ("0_real", "1_fake"):
        (folder / name).mkdir(parents=True)
    for i in range(n):
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        real = np.asarray(small.resize((size, size), Image.Resampling.BICUBIC)).astype(int)
        fake = np.clip(real + rng.normal(0, 12, real.shape), 0, 255)
        for name, pixels in (("0_real", real), ("1_fake", fake)):
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i:04d}.jpg", quality=92)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A data folder with 12 pairs."""
    write_faces(tmp_path / "faces", 12)
    return tmp_path / "faces"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; without one what needs it is skipped."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(names)} on the PATH: the page is not looked at")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
