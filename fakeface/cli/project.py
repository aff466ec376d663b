"""`fakeface new`: your own project outside the clone; and what such a project consists of."""

import errno
import os
import re
import shlex
import shutil
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from fakeface.core import code
from fakeface.core.errors import UserError, printable
from fakeface.core.files import sha256, write_text
from fakeface.core.run import REMEDIES

TEMPLATES = Path(__file__).with_name("templates")
# Files of the installed version as they are; the first ones `fakeface upgrade` brings up to date.
MANAGED = ("stages/*", "recipes/*.yaml", ".dvc/plots/*.json")
WRITTEN_ONCE = ("params.yaml", ".dvc/.gitignore", ".dvcignore", ".gitignore")
TESTS = "tests/test_project.py"
DVC_CONFIG = "[core]\n    analytics = false\n    check_update = false\n"  # a clone's own may name a remote
MAY_BE_THERE = {".git", ".venv"}
IN_USE = "exists and is not empty; choose a new folder"
NOTE = """\
# Of a project outside fakeface's repository: in place of its packages, stages depend on their digests in code.yaml.
"""


def new(folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to create.")]) -> None:
    """Write a project of your own (pipeline, parameters, recipes), in which fakeface itself is an installed package."""
    if shutil.which("git") is None:
        raise UserError("git is not installed, and DVC needs it: install git, then run this again")
    try:
        folder = folder.expanduser().absolute()
        _create(folder)
    except RuntimeError:  # of expanduser
        raise UserError(f"{folder}: no such home folder; choose another folder") from None
    except OSError as error:
        if error.filename2 and error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):  # of rename
            raise UserError(f"{folder}: {IN_USE}") from None
        if error.errno in REMEDIES:
            raise
        raise UserError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from None
    print(f"{printable(folder)}: a project of fakeface {code.version()}; next:")
    print(f"  cd {shlex.quote(printable(folder))}")
    if find_spec("dvc") is None:
        print("  pip install 'fakeface[pipeline]'")
    print("  fakeface use FOLDER     your faces; without it the drawn sample is taken")
    print("  fakeface check")
    print("  dvc repro               then open reports/index.html")
    files = ["dvc.yaml", "dvc.lock", code.FILE, "params.yaml", ".dvc/config"]
    if ignored := _git(folder, "check-ignore", *files).stdout.split():
        print(f"note: git ignores {', '.join(ignored)} here, so DVC refuses to run;")
        print("  if the .gitignore of an outer repository does that, run `git init` in this folder;")
        print("  otherwise remove the rule that `git check-ignore -v dvc.yaml` names")


def managed() -> dict[str, str]:
    """Name -> text of the files that an upgrade brings up to date."""
    home = code.home()
    paths = [path for pattern in MANAGED for path in sorted(home.glob(pattern)) if path.is_file()]
    files = {path.relative_to(home).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    files[TESTS] = (TEMPLATES / Path(TESTS).name).read_text(encoding="utf-8")
    return {"dvc.yaml": outside((home / "dvc.yaml").read_text(encoding="utf-8")), **files}


def outside(pipeline: str) -> str:
    """dvc.yaml with digests in code.yaml as parameters, in place of the packages' folders in `deps`; layout and comments stay."""
    blocks = re.split(r"^(?=  \w+:\n)", pipeline, flags=re.MULTILINE)
    return NOTE + "".join(map(_block, blocks))


def _block(text: str) -> str:
    """A stage's part of dvc.yaml."""
    packages = ", ".join(re.findall(r"[ \[]fakeface/(\w+)[,\]]", text))
    if not packages:
        return text
    text = re.sub(r",\s+fakeface/\w+", "", text)
    text = re.sub(
        r"^( +)(params: \[[^\]]*)\]", rf"\1\2,\n\1         {{code.yaml: [{packages}]}}]", text, flags=re.MULTILINE
    )
    return re.sub(r"^( +)(- params\.yaml:.*\n)", rf"\1\2\1- code.yaml: [{packages}]\n", text, flags=re.MULTILINE)


def code_yaml(files: dict[str, str]) -> str:
    """The text of code.yaml; `files`: sha256 of each managed file as it was written."""
    pipeline = (code.home() / "dvc.yaml").read_text(encoding="utf-8")
    packages = sorted(set(re.findall(r"[ \[]fakeface/(\w+)[,\]]", pipeline)))
    lines = [
        "# Written by `fakeface new` and `fakeface upgrade`: which code the results rest on. Keep it in git.",
        f"fakeface: {code.version()}",
        "",
        "# digests of its packages; a stage of dvc.yaml depends on those that it uses",
        *(f"{name}: {code.digest(name)}" for name in packages),
        "",
        "# sha256 of files as they were written; one that differs is edited, and an upgrade keeps it",
        "files:",
        *(f"  {name}: {digest}" for name, digest in files.items()),
    ]
    return "\n".join(lines) + "\n"


def write_managed(path: Path, text: str) -> None:
    """Writes a file of `managed`, or its NAME.new."""
    rewrite(path, text)
    if path.name in ("run", "run.new"):
        path.chmod(0o755)


def rewrite(path: Path, text: str) -> None:
    """Writes a text file whole; a link to it stays, and so does its mode."""
    path = Path(os.path.realpath(path))
    mode = path.stat().st_mode & 0o777 if path.is_file() else None
    write_text(path, text)
    if mode is not None:
        path.chmod(mode)


def _create(folder: Path) -> None:
    """Writes the project next to `folder`, or in it if it exists, and puts it in place; of several at once the first one wins.

    Raises:
        UserError: the folder is in use, or git fails.
        OSError: EEXIST or ENOTEMPTY if another one was faster.
    """
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if there - MAY_BE_THERE or (os.path.lexists(folder) and not folder.is_dir()):
        raise UserError(f"{folder}: {IN_USE}")
    old, parents = folder.is_dir(), [path for path in folder.parents if not path.exists()]
    try:
        if parents:
            folder.parent.mkdir(parents=True, exist_ok=True)
        where = folder if old else folder.parent
        with TemporaryDirectory(dir=where, prefix=".new-", ignore_cleanup_errors=True) as temporary:
            partial = Path(temporary) / "project"  # with the usual mode, which `temporary` has not
            partial.mkdir()
            _write(partial, folder.name)
            if _git(partial, "rev-parse", "--is-inside-work-tree").stdout.strip() != "true":
                answer = _git(folder if ".git" in there else partial, "init", "-q")
                if answer.returncode:
                    said = " ".join(answer.stderr.split())
                    raise UserError(f"{folder}: git init failed ({said}); correct it, then run this again")
            if not old:
                os.rename(partial, folder)
            else:  # it may be the shell's own working folder, or hold .venv: it stays
                os.rename(partial / "stages", folder / "stages")  # fails if another one was faster
                for path in list(partial.iterdir()):
                    path.rename(folder / path.name)
    except BaseException:
        for path in parents:
            with suppress(OSError):
                path.rmdir()
        raise


def _git(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, errors="replace")


def _write(folder: Path, name: str) -> None:
    """All files of a new project."""
    from fakeface.cli.recipes import apply_recipe  # ruamel, which most commands do without

    files = managed()
    for file, text in files.items():
        write_managed(folder / file, text)
    for file in WRITTEN_ONCE:
        write_text(folder / file, (code.home() / file).read_text(encoding="utf-8"))
    apply_recipe("default", None, root=folder)  # a clone's params.yaml may be edited
    package = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "faces"
    values = {"name": printable(name), "package": package, "version": code.version()}
    for file, template in (
        ("README.md", "project.md"),
        ("pyproject.toml", "project.toml"),
        ("data/README.md", "data.md"),
    ):
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        write_text(folder / file, re.sub(r"\{(name|package|version)\}", lambda key: values[key[1]], text))
    write_text(folder / "data" / ".gitignore", "/raw\n")
    write_text(folder / ".dvc" / "config", DVC_CONFIG)
    write_text(folder / code.FILE, code_yaml({file: sha256(folder / file) for file in files}))
