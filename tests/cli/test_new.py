"""`fakeface new` and `fakeface upgrade`: a project outside the clone, and its way to another version (whole runs: test_wheel)."""

import os
import re
import shutil
import subprocess
import time

import pytest
from conftest import BIN, ROOT, Project, environment
from ruamel.yaml import YAML

from fakeface.cli import project as module
from fakeface.cli.project import new, outside
from fakeface.core import code
from fakeface.core.errors import UserError
from fakeface.core.load import load_params

COMMAND = str(BIN / "fakeface")


def load(path):
    return YAML(typ="safe").load(path.read_text())


def run(folder, *command, **env):
    return subprocess.run(command, cwd=folder, env=environment(**env), capture_output=True, text=True, timeout=120)


def umask():
    found = os.umask(0)
    os.umask(found)
    return found


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A new project, which is the working folder."""
    new(tmp_path / "faces")
    monkeypatch.chdir(tmp_path / "faces")
    return Project(tmp_path / "faces")


def other_version(tmp_path, **edits):
    """A copy of this repository as version 9.0.0; `edits`: file -> a function of its text."""
    for name in ("fakeface", "stages", "recipes", ".dvc/plots"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    edits["pyproject.toml"] = lambda text: re.sub('^version = ".*"$', 'version = "9.0.0"', text, flags=re.MULTILINE)
    for name, edit in edits.items():
        before = (tmp_path / name).read_text()
        (tmp_path / name).write_text(edit(before))
        assert (tmp_path / name).read_text() != before
    return tmp_path


def test_a_new_project_has_its_files_and_is_ready(tmp_path):
    answer = run(tmp_path, COMMAND, "new", "My faces")
    assert answer.returncode == 0, answer.stderr
    assert "fakeface check" in answer.stdout
    folder = tmp_path / "My faces"
    wanted = (
        "code.yaml data/README.md dvc.yaml params.yaml pyproject.toml README.md recipes/default.yaml stages/split.py"
    )
    files = [
        *wanted.split(),
        "tests/test_project.py",
        ".dvc/config",
        ".dvcignore",
        ".gitignore",
        ".dvc/plots/curves.json",
    ]
    assert all((folder / name).is_file() for name in files)
    assert list(tmp_path.iterdir()) == [folder]  # nothing temporary
    assert (folder / ".git").is_dir()
    assert load_params(folder / "params.yaml") == load_params(ROOT / "recipes" / "default.yaml")
    assert 'name = "my-faces"' in (folder / "pyproject.toml").read_text()
    assert f'"fakeface[pipeline]~={code.version()}"' in (folder / "pyproject.toml").read_text()
    python = 'requires-python = "' + re.search(r'requires-python = "(.*)"', (ROOT / "pyproject.toml").read_text())[1]
    assert python in (folder / "pyproject.toml").read_text()
    assert (folder / ".dvc/config").read_text() == (ROOT / ".dvc/config").read_text()
    assert not re.search(r"\{\w+\}", (folder / "pyproject.toml").read_text() + (folder / "README.md").read_text())
    assert "valid; data: 300 real" in run(folder, COMMAND, "check").stdout
    (folder / "data/raw").mkdir()
    (folder / "data/raw/face.jpg").touch()
    assert "raw" not in run(folder, "git", "status", "--porcelain", "-uall").stdout  # faces never get into git


def test_its_own_tests_pass(made):
    answer = run(made.path, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert answer.returncode == 0, answer.stdout
    (made.path / "params.yaml").write_text(
        (made.path / "params.yaml").read_text().replace("threads: 2", "threads: two")
    )
    (made.path / "code.yaml").write_text((made.path / "code.yaml").read_text().replace("detector: ", "detector: 0"))
    assert "2 failed" in run(made.path, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider").stdout


def test_dvc_yaml_has_digests_for_packages_and_is_otherwise_the_repositorys(made):
    text, ours = (made.path / "dvc.yaml").read_text(), (ROOT / "dvc.yaml").read_text()
    theirs, pipeline, digests = load(made.path / "dvc.yaml"), load(ROOT / "dvc.yaml"), load(made.path / "code.yaml")
    for name, stage in pipeline["stages"].items():
        stage, other = (part.get("do", part) for part in (stage, theirs["stages"][name]))
        packages = [dep.removeprefix("fakeface/") for dep in stage["deps"] if dep.startswith("fakeface/")]
        assert other["params"].pop() == {"code.yaml": packages}
        assert packages
        assert set(packages) <= set(digests)
        stage["deps"] = [dep for dep in stage["deps"] if not dep.startswith("fakeface/")]
    assert theirs == pipeline
    assert re.findall("#.*", text)[1:] == re.findall("#.*", ours)  # after the note at the top
    assert outside("vars: []\n").endswith("vars: []\n")
    assert run(made.path, "dvc", "stage", "list", "--name-only").stdout.split()[:3] == ["check", "sample", "split"]


@pytest.mark.parametrize("there", ["file", "folder/file", ".venv/bin"])
def test_a_folder_that_is_in_use_is_refused_and_stays(tmp_path, there):
    target = tmp_path / "x"
    (target / there).mkdir(parents=True)
    if there == ".venv/bin":  # an environment may be there before the project
        new(target)
        assert (target / ".venv/bin").is_dir()
        assert load_params(target / "params.yaml")
        return
    with pytest.raises(UserError, match="x: exists and is not empty; choose a new folder"):
        new(target)
    assert [path.name for path in target.iterdir()] == [there.split("/")[0]]


def test_it_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "code_yaml", full)
    (tmp_path / "empty").mkdir()
    for name in ("x", "empty"):
        with pytest.raises(OSError, match="No space"):
            new(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file/x", "Not a directory"),
        ("loop/x", "cannot be made (File exists)"),
        ("dangling", "exists and is not empty"),
        ("/proc/x/y", "/proc/x"),
        ("a/b/" + "x" * 300, "File name too long"),
        ("~nosuchuser/x", "no such home folder"),
        ("broken", "git init failed (fatal: "),
    ],
)
def test_a_folder_that_cannot_be_made_is_told_so_in_one_line(tmp_path, name, said):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/.git").write_text("gitdir: /nowhere\n")
    before = sorted(tmp_path.rglob("*"))
    answer = run(tmp_path, COMMAND, "new", name)
    assert (answer.returncode, answer.stdout, answer.stderr.count("\n")) == (1, "", 1), answer.stderr
    assert said in answer.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("there", [False, True])
def test_of_several_at_once_one_wins_and_foreign_files_stay(tmp_path, there):
    (tmp_path / "x.partial").mkdir()
    (tmp_path / "x.partial/mine").touch()
    if there:
        (tmp_path / "x").mkdir()
    command = {
        "cwd": tmp_path,
        "env": environment(),
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    several = [subprocess.Popen([COMMAND, "new", "x"], **command) for _ in range(3)]
    errors = sorted(process.communicate(timeout=120)[1] for process in several)
    refused = f"error: {tmp_path / 'x'}: exists and is not empty; choose a new folder\n"
    assert errors == ["", refused, refused]
    assert sorted(process.returncode for process in several) == [0, 1, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "x.partial"]
    assert (tmp_path / "x.partial/mine").is_file()
    assert {path.name for path in (tmp_path / "x").iterdir()} >= {".git", ".dvc", "stages", "dvc.yaml", "code.yaml"}
    assert not list((tmp_path / "x").glob(".new-*"))
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o777 & ~umask()


def test_a_git_repository_around_that_is_bare_or_ignores_the_project(tmp_path, capsys):
    run(tmp_path, "git", "init", "-q", "--bare", "bare")
    new(tmp_path / "bare/x")
    assert (tmp_path / "bare/x/.git").is_dir()
    assert "git ignores" not in capsys.readouterr().out
    run(tmp_path, "git", "init", "-q")
    (tmp_path / ".gitignore").write_text("*\n")
    new(tmp_path / "x")
    assert "note: git ignores dvc.yaml, dvc.lock, code.yaml, params.yaml, .dvc/config here" in capsys.readouterr().out


def test_in_a_folder_of_a_git_repository_no_other_one_is_made(tmp_path):
    run(tmp_path, "git", "init", "-q")
    new(tmp_path / "inside")
    assert not (tmp_path / "inside/.git").exists()


def test_code_yaml_is_compared_with_the_code_that_runs(made):
    path, text = made.path / "code.yaml", (made.path / "code.yaml").read_text()
    code.check_code()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        code.check_code()
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05
    installed = code.version()
    faults = {
        text.replace(
            f"fakeface: {installed}", "fakeface: 0.0.1"
        ): f"written for fakeface 0.0.1, but {installed} is installed; run `fakeface upgrade`",
        text.replace(
            "images: ", "images: 0"
        ): f"the code of fakeface {installed} has changed since it was written (images); run `fakeface upgrade`",
        "": "names no version or no packages of fakeface; run `git checkout code.yaml`",
    }
    for content, said in faults.items():
        path.write_text(content)
        with pytest.raises(UserError, match=f"^{re.escape('code.yaml: ' + said)}$"):
            code.check_code()
    path.write_text(text.replace(f"fakeface: {installed}", "fakeface: 0.0.1"))
    said = f"code.yaml: written for fakeface 0.0.1, but {installed} is installed; run `fakeface upgrade`"
    for command in (["python", "-m", "stages.split"], [COMMAND, "check"]):
        answer = run(made.path, *command)
        assert (answer.returncode, answer.stderr) == (1, f"error: {said}\n")
    assert said in run(made.path, COMMAND, "doctor").stdout
    assert run(made.path, "python", "-m", "stages.split", "--help").returncode == 0
    path.unlink()
    code.check_code()  # a clone has none


def test_an_upgrade_brings_what_was_not_edited_and_keeps_what_was(made, tmp_path):
    added = "  # a key\n  shuffles: 3                 # that is new\n                              # in this version\n"
    last = "  keep: true                  # as well, at the end\n"

    def parameters(text):
        return re.sub(
            r"^(  margin: .*\n)", rf"\1{last}", text.replace("  folds:", f"{added}  folds:"), flags=re.MULTILINE
        )

    def types(text):
        text = text.replace("    folds: Annotated", "    shuffles: int\n    folds: Annotated")
        text = text.replace("    hash_distance: Annotated[int, Field(ge=0, le=16)]\n", "")
        return text.replace("class Registry(Section):\n", "class Registry(Section):\n    keep: bool\n")

    def without_distance(text):
        return re.sub(r"^  hash_distance: .*\n", "", parameters(text), flags=re.MULTILINE)

    version = other_version(
        tmp_path / "other",
        **{
            "params.yaml": without_distance,
            "recipes/default.yaml": without_distance,
            "fakeface/core/params.py": types,
            "fakeface/explain/stage.py": lambda text: f"# new\n{text}",
            "stages/split.py": lambda text: text.replace('"""', '"""New. ', 1),
            "stages/explain.py": lambda text: text.replace('"""', '"""New. ', 1),
            "dvc.yaml": lambda text: text.replace("desc: Score", "desc: New. Score"),
        },
    )
    made.set(base={"seed": 7})
    mine = made.path / "stages/explain.py"
    mine.write_text(mine.read_text() + "# mine\n")
    kept, before = mine.read_text(), (made.path / "params.yaml").read_text()
    answer = run(made.path, COMMAND, "upgrade", PYTHONPATH=str(version))
    assert answer.stdout.splitlines() == [
        "note: params.yaml: added with default values: audit.shuffles, registry.keep",
        "note: params.yaml: no longer known, remove: split.hash_distance",
        "note: stages/explain.py: was edited and stays; the new version is in stages/explain.py.new",
        f"fakeface {code.version()} -> 9.0.0; packages that changed: explain",
        "next: fakeface check, then dvc repro",
    ]
    assert mine.read_text() == kept
    assert (made.path / "stages/explain.py.new").read_text() == (version / "stages/explain.py").read_text()
    assert (made.path / "stages/split.py").read_text() == (version / "stages/split.py").read_text()
    assert "desc: New. Score" in (made.path / "dvc.yaml").read_text()
    assert (made.path / "params.yaml").read_text() == parameters(before)
    assert '"fakeface[pipeline]~=9.0.0"' in (made.path / "pyproject.toml").read_text()
    files = made.files(".")
    again = run(made.path, COMMAND, "upgrade", PYTHONPATH=str(version)).stdout.splitlines()
    assert again == [
        "note: params.yaml: no longer known, remove: split.hash_distance",
        "nothing to upgrade: this project is of fakeface 9.0.0",
    ]
    assert made.files(".") == files
    path = made.path / "params.yaml"
    path.write_text(re.sub(r"^  hash_distance: .*\n", "", path.read_text(), flags=re.MULTILINE))
    assert run(made.path, COMMAND, "check", PYTHONPATH=str(version)).returncode == 0


def test_a_new_section_and_one_written_with_braces_get_their_keys_too(made):
    path = made.path / "params.yaml"
    text = path.read_text()
    path.write_text(re.sub(r"^registry:\n(?:  .*\n)+", "", text, flags=re.MULTILINE))
    answer = run(made.path, COMMAND, "upgrade")
    assert "added with default values: registry.margin" in answer.stdout
    assert load_params(path) == load_params(ROOT / "recipes/default.yaml")
    assert len(path.read_text().splitlines()) >= len(text.splitlines())  # its comments are back
    path.write_text(
        re.sub(r"^base:\n(?:  .*\n)+", "base: {seed: 7, threads: 1, image_size: 256}\n", text, flags=re.MULTILINE)
    )
    assert "base.device, base.precision" in run(made.path, COMMAND, "upgrade").stdout
    assert load_params(path).base.seed == 7


def test_an_upgrade_keeps_links_modes_and_what_the_user_deleted_or_pinned(made, tmp_path):
    version = other_version(
        tmp_path / "other",
        **{
            "dvc.yaml": lambda text: text.replace("desc: Score", "desc: New. Score"),
            "stages/run": lambda text: text + "# new\n",
            "stages/audit.py": lambda text: text + "# new\n",
            "fakeface/explain/stage.py": lambda text: f"# new\n{text}",
        },
    )
    for name in ("params.yaml", "dvc.yaml", "pyproject.toml"):  # behind links
        shutil.move(made.path / name, tmp_path / name)
        (made.path / name).symlink_to(tmp_path / name)
        (tmp_path / name).chmod(0o640)
    params, pins = tmp_path / "params.yaml", tmp_path / "pyproject.toml"
    params.write_text(re.sub(r"^  folds: .*\n", "", params.read_text(), flags=re.MULTILINE) + "3:\n  4: 5\n")
    pins.write_text(pins.read_text().replace("~=", "=="))
    (made.path / "stages/split.py").unlink()
    for name in ("run", "audit.py"):
        (made.path / "stages" / name).write_text("# mine\n")
    (made.path / "stages/audit.py.new").write_text("# mine too\n")
    deleted = "note: stages/split.py: was deleted and stays so; to get it back, remove its line in code.yaml, then upgrade again"
    mine = "was edited and stays"
    again = [
        "note: params.yaml: no longer known, remove: 3",
        f"note: stages/audit.py: {mine}, as does your stages/audit.py.new; move that away, then upgrade again",
    ]
    answer = run(made.path, COMMAND, "upgrade", PYTHONPATH=str(version))
    assert answer.stdout.splitlines() == [
        "note: params.yaml: added with default values: audit.folds",
        *again,
        f"note: stages/run: {mine}; the new version is in stages/run.new",
        deleted,
        f"note: pyproject.toml: asks for fakeface[pipeline]=={code.version()}, which stays; 9.0.0 is installed",
        f"fakeface {code.version()} -> 9.0.0; packages that changed: explain",
        "next: fakeface check, then dvc repro",
    ], answer.stderr
    assert (made.path / "stages/run.new").stat().st_mode & 0o111
    for name in ("params.yaml", "dvc.yaml", "pyproject.toml"):
        assert (made.path / name).is_symlink()
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o640
    assert "desc: New. Score" in (tmp_path / "dvc.yaml").read_text()
    pins.write_bytes(b"\xff")
    last = "nothing to upgrade: this project is of fakeface 9.0.0"
    pinned = "note: pyproject.toml: is not UTF-8 and stays as it is; correct the version of fakeface there"
    answer = run(made.path, COMMAND, "upgrade", PYTHONPATH=str(version))
    assert answer.stdout.splitlines() == [*again, pinned, last], answer.stderr
    assert not (made.path / "stages/split.py").exists()
    (made.path / "stages/audit.py.new").unlink()
    run(made.path, COMMAND, "upgrade", PYTHONPATH=str(version))
    assert (made.path / "stages/audit.py.new").read_text().endswith("# new\n")
    (made.path / "stages/split.py").mkdir()
    answer = run(made.path, COMMAND, "upgrade", PYTHONPATH=str(version))
    said = "a file of fakeface belongs here, not a folder; move it away, then run this again"
    assert (answer.returncode, answer.stderr) == (1, f"error: stages/split.py: {said}\n")


def test_an_edited_dvc_yaml_that_names_packages_which_are_no_more_is_reported(made):
    path = made.path / "dvc.yaml"
    path.write_text(path.read_text().replace("code.yaml: [", "code.yaml: [oldest, ") + "# code.yaml: [other]\n")
    said = "dvc.yaml: oldest: no longer packages in code.yaml; take the stages' lists from dvc.yaml.new"
    assert f"note: {said}\n" in run(made.path, COMMAND, "upgrade").stdout
    assert run(made.path, COMMAND, "check").stderr == f"error: {said}\n"
    (made.path / "code.yaml").unlink()
    said = "error: code.yaml: no such file; run this in the project's root, or `git checkout code.yaml`\n"
    assert run(made.path, COMMAND, "upgrade").stderr == said


def test_what_is_no_project_is_told_so_in_one_line(tmp_path):
    (tmp_path / "x").mkdir()
    commands = ["check", "use .", "publish", "experiments", "diff HEAD", "recipe default", "card"]
    for command in commands:
        answer = run(tmp_path, COMMAND, *command.split())
        assert answer.returncode == 1
        assert answer.stderr.count("\n") == 1
        assert "no such" in answer.stderr
        assert "make one with `fakeface new DIR`" in answer.stderr
    answer = run(tmp_path, COMMAND, "doctor")
    assert answer.stdout.count("make one with `fakeface new DIR`") == 2  # parameters, dvc
    for folder in (tmp_path, ROOT):
        answer = run(folder, COMMAND, "upgrade")
        assert answer.stderr.startswith("error: code.yaml: no such file; this is for projects made with `fakeface new`")
