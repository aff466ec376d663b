"""Recipes: `recipes/default.yaml` holds every parameter, each other file in `recipes/` the keys that differ from it."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, CommentedMap

from fakeface.core.errors import NO_PROJECT, UserError
from fakeface.core.files import whole
from fakeface.core.load import check_params, read_yaml


def apply_recipe(name: str, data: Path | None, root: Path = Path(".")) -> None:
    """Writes a recipe's values into `params.yaml`, all or none of them; comments and layout stay.

    Args:
        data: the user's data folder, written to split.data; no sample is drawn then, unless it is data/sample. If params.yaml
            has that folder already, its class folders and groups stay.

    Raises:
        UserError: no such recipe, no such data folder, the recipe is not valid, or params.yaml is not readable.
    """
    values = recipe_values(name, root)
    if data is not None:
        data = data.expanduser()
        if not (root / data).is_dir():
            raise UserError(f"{data}: no such data folder; --data takes a folder with the two class folders")
        values["split"]["data"] = data.as_posix()
        now = read_yaml(root / "params.yaml", _round_trip())
        now = now.get("split") if isinstance(now, dict) else None
        if (
            isinstance(now, dict) and now.get("data") == values["split"]["data"]
        ):  # what `fakeface use` found there stays
            kept = ("real", "fake", "group_by", *(("protocol", "val") if now.get("protocol") == "folders" else ()))
            values["split"] |= {key: now[key] for key in kept if key in now}
        own = data != Path("data/sample")  # which is drawn, and would be gone
        values["sample"]["count"] = 0 if own else recipe_values("default", root)["sample"]["count"]
    write_values(values, root, drop_others=True)


def write_values(values: dict[str, Any], root: Path = Path("."), *, drop_others: bool = False) -> None:
    """Writes values, section -> key -> value, into `params.yaml`, all or none of them; comments and layout stay.

    Args:
        drop_others: a key that is not among them is a leftover or an error, and is removed.

    Raises:
        UserError: params.yaml is not readable.
    """
    path = root / "params.yaml"
    yaml = _round_trip()
    target = read_yaml(path, yaml)
    if not isinstance(target, dict):
        raise UserError(f"{path}: contains no sections such as 'base:'; run `git checkout params.yaml` first")
    for section, keys in values.items():
        if not isinstance(target.get(section), dict):
            target[section] = CommentedMap()
        for key, value in keys.items():
            if key not in target[section] or target[section][key] != value:
                _set(target[section], key, value)
        if drop_others:
            _drop_unknown(target[section], keys)
    if drop_others:
        _drop_unknown(target, values)
    with whole(path.resolve()) as partial:  # behind a link, which stays, as does the file's mode
        yaml.dump(target, partial)
        partial.chmod(path.stat().st_mode & 0o777)


def recipe_values(name: str, root: Path = Path(".")) -> dict[str, Any]:
    """All parameters of a recipe, section -> key -> value: those of `default` with the recipe's own over them.

    Raises:
        UserError: no such recipe, or what comes out is not valid; the message names the recipe's file.
    """
    folder = root / "recipes"
    available = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in available:
        where = f"allowed here: {', '.join(available)}" if available else NO_PROJECT
        raise UserError(f"recipes/{name}.yaml: no such recipe; {where}")
    values = read_yaml(folder / "default.yaml", _round_trip())
    check_params(values, folder / "default.yaml")
    if name != "default":
        path = folder / f"{name}.yaml"
        overlay = read_yaml(path, _round_trip())
        if not isinstance(overlay, dict):
            raise UserError(f"{path}: must contain only the sections and keys that differ from recipes/default.yaml")
        for section, keys in overlay.items():
            known = isinstance(keys, dict) and section in values
            values[section] = {**values[section], **keys} if known else keys
        check_params(values, path)
    return dict(values)


def _round_trip() -> YAML:
    """Keeps comments, order and quotes; long lines are not folded."""
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = 4096, True
    return yaml


def _set(section: Any, key: str, value: Any) -> None:
    section[key] = value
    # where a list stood below its key, ruamel keeps an empty comment, and writes that before `[]`
    if key in section.ca.items:
        section.ca.items[key][3] = None


def _drop_unknown(target: dict[str, Any], known: dict[str, Any]) -> None:
    for key in [key for key in target if key not in known]:
        del target[key]
