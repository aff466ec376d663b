"""The tag `recipe`: a training's own parameters tell it, live and afterwards alike."""

from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from fakeface.core.load import load_params
from fakeface.core.params import APPROACHES
from fakeface.tracking import locks
from fakeface.tracking.recipe import here, recipe
from fakeface.tracking.runs import flatten

RECIPES = {path.stem: path.read_text() for path in (ROOT / "recipes").glob("*.yaml")}
VALUES = {name: flatten(YAML(typ="safe").load(text)) for name, text in RECIPES.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_recognised_wherever_the_images_lie(name):
    assert recipe(VALUES[name] | {"split.data": "elsewhere", "base.tracking": False}, RECIPES) == name


@given(st.sampled_from(sorted(RECIPES)), st.data())
def test_one_other_value_makes_it_another_or_ones_own(name, data):
    key = data.draw(st.sampled_from(sorted(set(VALUES[name]) - {"split.data", "base.tracking"})))
    assert recipe(VALUES[name] | {key: "another"}, RECIPES) == "own"


def test_what_two_recipes_share_has_both_names():
    assert recipe({"base.seed": 0, "split.group_by": "photo"}, RECIPES) == ", ".join(
        sorted(name for name in RECIPES if VALUES[name]["split.group_by"] == "photo")
    )


@pytest.mark.parametrize("approach", APPROACHES)
def test_live_and_published_say_the_same(approach, monkeypatch):
    """Live a stage knows its parameters from params.yaml, later from dvc.lock."""
    monkeypatch.chdir(ROOT)
    params = load_params(Path("params.yaml"))
    sections = ["base", "split", f"train_{approach}", *(["features"] if approach == "extractor" else [])]
    live = flatten({name: getattr(params, name).model_dump() for name in sections})
    published = locks.flat_params(locks.workspace(), approach)
    assert published == {key: live[key] for key in published}
    assert recipe(live, here()) == recipe(published, here()) == "default"
