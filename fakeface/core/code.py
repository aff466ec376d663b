"""Which code a project outside a clone was made with: code.yaml, by `fakeface new` and `fakeface upgrade`.

There the packages of fakeface are no folders that a stage could depend on. code.yaml holds a digest of each, and stages depend
on those, so that DVC names the packages that an upgrade changed and runs what depends on them.
"""

import hashlib
import re
from pathlib import Path

from fakeface.core.errors import UserError
from fakeface.core.files import sha256

FILE = "code.yaml"
PACKAGE = Path(__file__).parents[1]


def home() -> Path:
    """The folder with stages/, dvc.yaml, params.yaml and recipes/ of the installed version: in a clone its root."""
    inside = PACKAGE / "project"
    return inside if inside.is_dir() else PACKAGE.parent


def version() -> str:
    """The version of the code that runs; metadata may be those of another installation where a clone is on the path."""
    clone = PACKAGE.parent / "pyproject.toml"
    if clone.is_file() and home() == PACKAGE.parent:
        return re.findall(r'^version = "(.+)"$', clone.read_text(encoding="utf-8"), re.MULTILINE)[0]
    from importlib.metadata import version

    return version("fakeface")


def digest(package: str) -> str:
    """64 hex digits of a package of fakeface: of the names and bytes of its files."""
    folder, found = PACKAGE / package, hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            found.update(f"{path.relative_to(folder).as_posix()} {sha256(path)}\n".encode())
    return found.hexdigest()


def read_code(root: Path = Path(".")) -> tuple[str, dict[str, str], dict[str, str]]:
    """What code.yaml says: the version, package -> digest, file of the project -> sha256 as it was written.

    Raises:
        UserError: there is none, or it is not as it was written.
    """
    try:
        text = (root / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        pipeline = root / "dvc.yaml"
        if pipeline.is_file() and FILE in pipeline.read_text(encoding="utf-8", errors="replace"):
            raise UserError(f"{FILE}: no such file; run this in the project's root, or `git checkout {FILE}`") from None
        made = "this is for projects made with `fakeface new`; a clone is upgraded with `git pull`"
        raise UserError(f"{FILE}: no such file; {made}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{FILE}: cannot be read ({error}); run `git checkout {FILE}`") from None
    # not by ruamel, which takes longer than all else
    packages = dict(re.findall(r"^(\w+): (\S+)$", text, re.MULTILINE))
    written = packages.pop("fakeface", "")
    if not written or not packages:
        raise UserError(f"{FILE}: names no version or no packages of fakeface; run `git checkout {FILE}`")
    return written, packages, dict(re.findall(r"^  (\S+): (\S+)$", text, re.MULTILINE))


def check_code(root: Path = Path(".")) -> None:
    """Compares code.yaml, where there is one, with the code that runs and with dvc.yaml: about 10 ms.

    Raises:
        UserError: code.yaml is that of another version or of other code, or dvc.yaml names packages that it lacks.
    """
    if not (root / FILE).exists():
        return
    written, packages, _ = read_code(root)
    if written != (installed := version()):
        said = f"written for fakeface {written}, but {installed} is installed"
    elif changed := [name for name, found in packages.items() if digest(name) != found]:
        said = f"the code of fakeface {installed} has changed since it was written ({', '.join(changed)})"
    elif gone := [name for name in _named(root / "dvc.yaml") if name not in {*packages, "fakeface", "files"}]:
        said = f"{', '.join(gone)}: no longer packages in {FILE}; take the stages' lists from dvc.yaml.new"
        raise UserError(f"dvc.yaml: {said}")
    else:
        return
    raise UserError(f"{FILE}: {said}; run `fakeface upgrade`")


def _named(pipeline: Path) -> list[str]:
    """The packages that a project's dvc.yaml names, outside of comments."""
    text = pipeline.read_text(encoding="utf-8", errors="replace") if pipeline.is_file() else ""
    lists = re.findall(rf"{re.escape(FILE)}: *\[([^\]]*)\]", re.sub(r"#.*", "", text))
    return sorted({name for names in lists for name in re.findall(r"(?:^|[\s,'\"])(\w+)", names)})
