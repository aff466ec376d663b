"""Which recipe a training follows, told by its parameters alone, so that live and published runs say the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fakeface.tracking.runs import flatten
from fakeface.tracking.store import git

OWN = "own"
# where the images lie, and whether runs are logged, are nobody's recipe
LEFT_OUT = {"split.data", "base.tracking"}


def recipe(params: Mapping[str, Any], recipes: Mapping[str, str]) -> str:
    """The names of all recipes that have these values, or `own`.

    Args:
        params: the values that a training rests on, by dotted name; a recipe's others do not matter to it, so that a training
            which two recipes share has both names.
        recipes: name -> text of recipes/<name>.yaml.
    """
    from ruamel.yaml import YAML

    shaping = {key: value for key, value in params.items() if key not in LEFT_OUT}
    names = []
    for name, text in sorted(recipes.items()):
        values = flatten(YAML(typ="safe").load(text))
        if all(key in values and values[key] == value for key, value in shaping.items()):
            names.append(name)
    return ", ".join(names) or OWN


def at(rev: str) -> dict[str, str]:
    """name -> text of the recipes in a commit."""
    paths = git("ls-tree", "--name-only", rev, "recipes/").splitlines()
    return {Path(path).stem: git("show", f"{rev}:{path}") for path in paths if path.endswith(".yaml")}


def here() -> dict[str, str]:
    """name -> text of the recipes in the working folder."""
    return {path.stem: path.read_text(encoding="utf-8") for path in Path("recipes").glob("*.yaml")}
