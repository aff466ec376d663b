"""Names a new approach wherever the others are named: in dvc.yaml's stages that score, compare or repeat, and in the recipes.

What is written by hand is what makes it another approach: its section in params.yaml, its stage, its line in the registry
(`fakeface.params.Params`). The rest is bookkeeping, and follows.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from fakeface.errors import UserError
from fakeface.files import write_text

NAME = r"[a-z][a-z0-9]*"  # it is also a folder's, a column's and a run's


def wire(root: Path, approaches: Sequence[str]) -> list[str]:
    """Completes `root`'s dvc.yaml and recipes; what is complete stays byte for byte.

    Args:
        approaches: all of the registry, in its order.

    Returns:
        The files that were changed, relative to `root`.

    Raises:
        UserError: an approach has no stage, no section, or no name for a folder; or `root` is no project.
    """
    pipeline = root / "dvc.yaml"
    try:
        text, params = (path.read_text(encoding="utf-8") for path in (pipeline, root / "params.yaml"))
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; run this from the project's root") from None
    for name in approaches:
        if not re.fullmatch(NAME, name):
            raise UserError(f"fakeface/params.py: train_{name}: an approach's name is lower-case letters and digits")
        if f"\n  train_{name}:\n" not in text:
            raise UserError(f"dvc.yaml: has no stage train_{name}; write one, like train_{approaches[0]}'s")
        if f"\ntrain_{name}:" not in params:
            raise UserError(f"params.yaml: has no section train_{name}; write one, like train_{approaches[0]}'s")
    new = {pipeline: name_in_stages(text, approaches)}
    for recipe in sorted((root / "recipes").glob("*.yaml")):
        new[recipe] = add_sections(recipe.read_text(encoding="utf-8"), params, [f"train_{name}" for name in approaches])
    changed = [path for path, content in new.items() if path.read_text(encoding="utf-8") != content]
    for path in changed:
        write_text(path, new[path])
    return [path.relative_to(root).as_posix() for path in changed]


def name_in_stages(text: str, approaches: Sequence[str]) -> str:
    """dvc.yaml with a copy of every line about one approach for each that follows it in the registry and is not there yet.

    The stages `train_...` and the `artifacts` are about one approach each, and left out.
    """
    parts: list[str] = []
    for section in re.split(r"^(?=\w+:)", text, flags=re.MULTILINE):
        stages = section.startswith("stages:")
        parts += re.split(r"^(?=  \w+:\n)", section, flags=re.MULTILINE) if stages else [section]
    for before, name in pairwise(approaches):
        parts = [part if part.startswith(("  train_", "artifacts:")) else _copied(part, before, name) for part in parts]
    return "".join(parts)


def add_sections(recipe: str, params: str, names: Sequence[str]) -> str:
    """The recipe with each section that it lacks, as it stands in params.yaml, after the section before it there."""
    for before, name in pairwise(names):
        if not _section(recipe, name):
            block = _section(recipe, before)
            recipe = recipe.replace(block, f"{block.rstrip()}\n\n{_section(params, name).rstrip()}\n\n", 1)
    return recipe


def _copied(part: str, name: str, new: str) -> str:
    """`part` with each item that names `name` (a line, and what is indented under it) once more for `new`."""
    word = re.compile(rf"(?<![a-z0-9]){name}(?![a-z0-9])")
    found, lines = [], part.splitlines(keepends=True)
    while lines:
        item = [lines.pop(0)]
        if word.search(item[0]):
            while lines and _depth(lines[0]) > _depth(item[0]):
                item.append(lines.pop(0))
            copy = word.sub(new, "".join(item))
            if copy not in part:
                item.append(copy)
        found += item
    return "".join(found)


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _section(text: str, name: str) -> str:
    match = re.search(rf"^{name}:.*\n(?: .*\n|\n)*", text, re.MULTILINE)
    return match.group() if match else ""
