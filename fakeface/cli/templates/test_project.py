"""The project is whole: its parameters are valid, its stages can be read, and code.yaml is that of the installed fakeface."""

import ast
from pathlib import Path

import pytest

from fakeface.core.code import check_code
from fakeface.core.load import load_params

ROOT = Path(__file__).parents[1]


def test_the_parameters_are_valid() -> None:
    load_params(ROOT / "params.yaml")


@pytest.mark.parametrize("stage", sorted((ROOT / "stages").glob("*.py")), ids=lambda stage: stage.stem)
def test_a_stage_can_be_read_and_says_what_it_does(stage: Path) -> None:
    assert ast.get_docstring(ast.parse(stage.read_text(encoding="utf-8")))


def test_the_code_is_that_of_the_installed_version() -> None:
    check_code(ROOT)
