"""Prints docs/reference.md: parameters, commands, Python API and exit codes, from the code. `make reference` writes it."""

import re
from inspect import Parameter, Signature, isclass, isfunction, signature
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ruamel.yaml import YAML
from typer.models import ArgumentInfo

import fakeface
from fakeface.cli.commands import app
from fakeface.core.params import Params

ROOT = Path(__file__).parents[1]
HEAD = """# Reference

Generated from the code by `make reference`; a test compares.

## Parameters

All of them are in `params.yaml`, one section per stage, here with their defaults (`fakeface recipe default`). An edit runs only
what depends on it ([what runs again](track.md#what-runs-again)).
"""
CODES = """## Exit codes

| code | meaning |
|---|---|
| 0 | success; notes and warnings do not change it |
| 1 | an error, in one line on stderr; also: a shortcut in the audit, an exceeded `robustness.budget`, something to do for \
`fakeface doctor`, an unreadable image for `fakeface predict` (all others get a verdict) |
| 2 | wrong usage: unknown command or option, or a value that it does not take |
| 130, 143 | ended by Ctrl-C or SIGTERM; an interrupted training continues with `dvc repro` |
| 141 | the program that reads the output has ended, such as `head` |
"""


def comments(text: str) -> dict[str, dict[str, str]]:
    """What params.yaml says of each key: section -> key -> text; the section's own has the key "".

    A comment stands behind its key and on deeper lines below it, or on lines of its own above it.
    """
    found: dict[str, dict[str, str]] = {}
    section, key, above = "", "", ""
    for line in text.splitlines():
        code, _, said = line.partition("#")
        indent = len(line) - len(line.lstrip())
        if not code.strip():
            if section and indent == 2:
                above += f" {said.strip()}"
            elif section and indent > 2:
                found[section][key] += f" {said.strip()}"
            continue
        name = code.split(":")[0].strip()
        section, key = (section, name) if indent else (name, "")
        found.setdefault(section, {})[key] = f"{above} {said.strip()}".strip()
        above = ""
    return found


def allowed(schema: dict[str, Any]) -> str:
    """What a key takes, from its JSON schema."""
    if "enum" in schema or "const" in schema:
        return ", ".join(map(str, schema.get("enum") or [schema["const"]]))
    low, high = schema.get("minimum"), schema.get("maximum")
    more = [f"above {schema['exclusiveMinimum']:g}"] if "exclusiveMinimum" in schema else []
    more += [f"below {schema['exclusiveMaximum']:,}"] if "exclusiveMaximum" in schema else []
    if low is not None and high is not None:
        return f"{low:,} to {high:,}"
    more = ([f"from {low:,}"] if low is not None else []) + more + ([f"at most {high:,}"] if high is not None else [])
    kinds = {"boolean": "true, false", "array": "list", "object": "names and values", "string": "text"}
    return ", ".join(more) or kinds[schema["type"]]


def value(given: object) -> str:
    """As params.yaml has it."""
    return str(given).lower() if isinstance(given, bool) else str(given)


def cell(text: str) -> str:
    """Text for a cell of a table in Markdown: `|` would end it, `<` could begin a tag."""
    return re.sub(r"([|<])", r"\\\1", text)


def parameters() -> list[str]:
    said = comments((ROOT / "params.yaml").read_text())
    defaults = YAML(typ="safe").load((ROOT / "recipes/default.yaml").read_text())
    lines: list[str] = []
    for name, field in Params.model_fields.items():
        section: Any = field.annotation
        schemas = section.model_json_schema()["properties"]
        lines += [f"\n### {name}\n", *[f"{words[0].upper()}{words[1:]}.\n" for words in [said[name][""]] if words]]
        lines += ["| key | default | allowed | meaning |", "|---|---|---|---|"]
        plain = []
        for key, given in defaults[name].items():
            if words := said[name].get(key):
                lines.append(f"| `{key}` | `{value(given)}` | {cell(allowed(schemas[key]))} | {cell(words)} |")
            else:
                plain.append(f"`{key}: {value(given)}`")
        if plain:
            lines.append(f"\nAs in the sections above: {', '.join(plain)}.")
    return lines


def option(name: str, hint: Any, default: object) -> str:
    """A row for a parameter of a command: how it is written, what it takes, what it means."""
    kind, info = get_args(hint)
    kinds = (
        [one for one in get_args(kind) if one is not type(None)] if get_origin(kind) in (UnionType, Union) else [kind]
    )
    takes = {bool: "", int: "number", float: "number"}.get(kinds[0], "text")
    if get_origin(kinds[0]) is Literal:
        takes = ", ".join(get_args(kinds[0]))
    elif info.min is not None and info.max is not None:
        takes = f"{info.min} to {info.max}"
    if isinstance(info, ArgumentInfo):
        written, takes = info.metavar or name.upper(), "required" if default is Parameter.empty else "optional"
    else:
        first = (
            [info.default] if isinstance(info.default, str) else []
        )  # Typer's name for what stands first in Option()
        written = ", ".join([*first, *(info.param_decls or [])] or [f"--{name}"])
    shown = "" if default in (None, False, True, Parameter.empty) else f" Default: {default}."
    return f"| `{written}` | {cell(takes)} | {cell(info.help)}{shown} |"


def commands() -> list[str]:
    lines = ["\n## Commands", "\n`fakeface COMMAND --help` says the same in a terminal."]
    for command in app.registered_commands:
        call = command.callback
        assert call is not None
        lines += [f"\n### fakeface {call.__name__}\n", cell(" ".join((call.__doc__ or "").split()))]
        hints = get_type_hints(call, include_extras=True)
        rows = [option(name, hints[name], one.default) for name, one in signature(call).parameters.items()]
        if rows:
            lines += ["\n| argument, option | takes | meaning |", "|---|---|---|", *rows]
    return lines


def api() -> list[str]:
    lines = ["\n## Python", "\n`help(fakeface.split)` and the like give arguments, columns and errors in full.\n"]
    lines += ["| name | meaning |", "|---|---|"]
    for name in fakeface.__all__:
        one = getattr(fakeface, name)
        members = [(f"{name}.{key}", value) for key, value in vars(one).items() if key[0] != "_" and isfunction(value)]
        for path, value in [(name, one), *(members if isclass(one) else [])]:
            written = "" if isclass(value) else call(value)
            said = " ".join((value.__doc__ or "").partition("\n\n")[0].split())
            lines.append(f"| `fakeface.{path}{written}` | {cell(said)} |")
    return lines


def call(function: Any) -> str:
    """Names and defaults of its arguments."""
    given = [one.replace(annotation=Parameter.empty) for one in signature(function).parameters.values()]
    return str(signature(function).replace(parameters=given, return_annotation=Signature.empty)).replace("(self, ", "(")


def page() -> str:
    return "\n".join([HEAD.rstrip(), *parameters(), *commands(), *api(), "", CODES])


if __name__ == "__main__":
    print(page(), end="")
