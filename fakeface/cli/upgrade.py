"""`fakeface upgrade`: brings a project made by `fakeface new` to the installed version, and keeps what the user has edited."""

import hashlib
import re
from pathlib import Path
from typing import Any

from fakeface.cli.project import code_yaml, managed, rewrite, write_managed
from fakeface.core import code
from fakeface.core.errors import UserError, printable
from fakeface.core.files import sha256

PARAMS = Path("params.yaml")
DELETED = "deleted"  # in code.yaml in place of a digest


def upgrade() -> None:
    """Bring a project made with `fakeface new` to the installed version of fakeface. Run it in the project's root.

    Your edits stay; the new version of an edited file is written to NAME.new.
    """
    before, packages, written = code.read_code()
    for line in [*_parameters(), *_files(written), *_requirement(before)]:
        print(f"note: {printable(line)}")
    text = code_yaml(written)
    if Path(code.FILE).read_text(encoding="utf-8") == text:
        print(f"nothing to upgrade: this project is of fakeface {before}")
        _pipeline()
        return
    rewrite(Path(code.FILE), text)  # last: an upgrade that was interrupted is done again
    changed = [name for name, digest in code.read_code()[1].items() if packages.get(name) != digest]
    print(f"fakeface {before} -> {code.version()}; packages that changed: {', '.join(changed) or 'none'}")
    _pipeline()
    print("next: fakeface check, then dvc repro")


def _files(written: dict[str, str]) -> list[str]:
    """Brings the project's files up to date; says which it leaves.

    Args:
        written: sha256 of each file as it was written last; becomes that of the installed version.
    """
    said, files = [], managed()
    for name in files:
        if Path(name).is_dir():
            raise UserError(f"{name}: a file of fakeface belongs here, not a folder; move it away, then run this again")
    for name, text in files.items():
        path, wanted = Path(name), hashlib.sha256(text.encode()).hexdigest()
        found, last = sha256(path) if path.is_file() else None, written.get(name)
        if found is None and last:
            if last != DELETED:
                said.append(
                    f"{name}: was deleted and stays so; to get it back, remove its line in {code.FILE}, then upgrade again"
                )
            written[name] = DELETED
            continue
        if found is None or (found != wanted and found == last):
            write_managed(path, text)
        elif found != wanted and last != wanted:
            theirs = path.with_name(path.name + ".new")
            if theirs.is_file() and sha256(theirs) not in (last, wanted):  # not as an earlier upgrade wrote it
                said.append(f"{name}: was edited and stays, as does your {theirs}; move that away, then upgrade again")
                continue
            write_managed(theirs, text)
            said.append(f"{name}: was edited and stays; the new version is in {theirs}")
        written[name] = wanted
    for name in [name for name in written if name not in files]:
        del written[name]
        if Path(name).is_file():
            said.append(f"{name}: no longer part of fakeface; remove it unless you use it")
    return said


def _parameters() -> list[str]:
    """Adds to params.yaml what it lacks, with defaults and comments; says what was added, and what is wrong now."""
    from fakeface.core.load import load_params, read_yaml  # pydantic, which other commands do without

    values, defaults = read_yaml(PARAMS), read_yaml(code.home() / PARAMS)
    if not isinstance(values, dict) or not all(isinstance(keys, dict) for keys in values.values()):
        raise UserError(f"{PARAMS}: must hold sections such as 'base:' with keys; correct it, then run this again")
    missing, said = {}, []
    for section, keys in defaults.items():
        if new := {key: value for key, value in keys.items() if key not in values.get(section, {})}:
            missing[section] = new
    if missing:
        _insert(values, missing)
        names = ", ".join(f"{section}.{key}" for section, keys in missing.items() for key in keys)
        said.append(f"{PARAMS}: added with default values: {names}")
    unknown = [section for section in values if section not in defaults]
    unknown += [f"{name}.{key}" for name in defaults for key in values.get(name, {}) if key not in defaults[name]]
    if unknown:
        return [*said, f"{PARAMS}: no longer known, remove: {', '.join(map(str, unknown))}"]
    try:
        load_params(PARAMS)
    except UserError as error:
        said.append(str(error))
    return said


def _requirement(before: str) -> list[str]:
    """Brings the version that pyproject.toml asks for, where it still is that of the project; says if it asks in another way."""
    path = Path("pyproject.toml")
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    except ValueError:
        return [f"{path}: is not UTF-8 and stays as it is; correct the version of fakeface there"]
    new = re.sub(rf"(fakeface\[[\w,]*\]~=){re.escape(before)}(?![\w.])", rf"\g<1>{code.version()}", text)
    if new != text:
        rewrite(path, new)
    pin = re.search(r"""["'](fakeface\s*[\[=<>!~@][^"']*)["']""", new)
    if before != code.version() and pin and not pin[1].endswith(f"~={code.version()}"):
        return [f"{path}: asks for {pin[1]}, which stays; {code.version()} is installed"]
    return []


def _pipeline() -> None:
    """Says which packages an edited dvc.yaml names that are no more."""
    try:
        code.check_code()
    except UserError as error:
        print(f"note: {printable(error)}")


def _insert(values: dict[str, Any], missing: dict[str, dict[str, Any]]) -> None:
    """Writes the missing keys where the installed params.yaml has them, with their comments; `values`: what the file holds."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from fakeface.cli.recipes import write_values

    source = (code.home() / PARAMS).read_text(encoding="utf-8").splitlines()
    lines, theirs = PARAMS.read_text(encoding="utf-8").splitlines(), _places(source)
    for section, keys in missing.items():
        if section not in values:
            lines += ["", source[theirs[section, ""][0]]]
        names = [key for where, key in theirs if where == section]
        for key in keys:
            here, above = _places(lines), (section, names[names.index(key) - 1])
            at = here.get(above, here.get((section, ""), (0, 0)))[1]
            lines[at:at] = source[slice(*theirs[section, key])]
    expected = {**values, **{section: values.get(section, {}) | keys for section, keys in missing.items()}}
    text = "\n".join(lines) + "\n"
    try:
        as_expected = YAML(typ="safe", pure=True).load(text) == expected
    except YAMLError:
        as_expected = False
    if as_expected:
        rewrite(PARAMS, text)
    else:  # written in another way, such as with braces
        write_values(missing)


def _places(lines: list[str]) -> dict[tuple[str, str], tuple[int, int]]:
    """(section, key) -> the number of its first line and that after its last; a section's own line has the key "".

    The comments right above a key and the deeper lines below it are the key's.
    """
    found: dict[tuple[str, str], tuple[int, int]] = {}
    section = key = ""
    above: int | None = None
    for number, line in enumerate(lines):
        if start := re.match(r"( {2})?(\w+):", line):
            section, key = (section, start[2]) if start[1] else (start[2], "")
            found[section, key] = (number if above is None else above, number + 1)
            above = None
        elif line.startswith("  #"):
            above = number if above is None else above
        elif line.startswith(("   ", "  - ")) and section:
            found[section, key] = (found[section, key][0], number + 1)
    return found
