"""dvc.yaml tells the truth: every local module that a stage imports is one of its dependencies, every parameter it reads too."""

import ast
import hashlib
import json
import re
from importlib import import_module
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from fakeface.core.params import APPROACHES

ROOT = Path(__file__).parents[2]
WRITTEN = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
# a stage that is repeated, once for each of a parameter's entries, says what it does under `do`
STAGES = {name: stage.get("do", stage) for name, stage in WRITTEN.items()}
# These shape no output: they check parameters, word errors, log to MLflow.
TRACKING = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fakeface" / "tracking").glob("*.py")}
NO_DEPENDENCY = {"fakeface/params.py", "fakeface/errors.py"} | TRACKING

# Parameters that a stage reads and that change none of its outputs.
# What `extra` reads of its own entry is in its command and dependencies.
NO_RESULT = {(stage, "tracking") for stage in STAGES} | {("sample", "threads"), ("split", "threads"), ("extra", "extra_sets")}


def local_imports(path: Path) -> set[Path]:
    """Files of this project that a file imports anywhere in it, package __init__ files left out (they hold a docstring)."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {file for name in names if (file := ROOT / (name.replace(".", "/") + ".py")).is_file()}
    return found


def reached(path: Path) -> set[str]:
    todo, seen = {path}, set()
    while todo:
        file = todo.pop()
        seen.add(file)
        if file.relative_to(ROOT).as_posix() not in NO_DEPENDENCY:
            todo |= local_imports(file) - seen
    return {file.relative_to(ROOT).as_posix() for file in seen} - NO_DEPENDENCY


def runs(name: str) -> list[str]:
    """The other stages that a stage runs, in its constant RUNS."""
    return list(getattr(import_module(f"stages.{name}"), "RUNS", ()))


@pytest.mark.parametrize("name", STAGES)
def test_code_dependencies_are_complete_and_not_more(name):
    declared = {dep for dep in STAGES[name]["deps"] if dep.endswith(".py")}
    assert declared == set().union(*(reached(ROOT / "stages" / f"{stage}.py") for stage in [name, *runs(name)]))


@pytest.mark.parametrize("name", ["seeds", "leak"])
def test_a_stage_that_runs_other_stages_rests_on_all_that_they_rest_on(name):
    """Their parameters and dependencies, but for what they make for each other in the folder where they run."""
    others = [STAGES[other] for other in runs(name)]
    assert others
    made = {out for other in others for out in other["outs"]}
    needed = {dep for other in others for dep in other["deps"]} - made
    assert needed <= set(STAGES[name]["deps"])
    assert {key for other in others for key in other["params"]} <= set(STAGES[name]["params"])


def test_only_stages_that_name_others_start_them():
    starters = {name for name in STAGES if "fakeface/again.py" in reached(ROOT / "stages" / f"{name}.py")}
    assert starters == {name for name in STAGES if runs(name)} == {"seeds", "leak"}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_that_writes_a_page_depends_on_its_templates(name):
    folder = ROOT / "fakeface" / "evaluation" / "templates"
    used = set()
    if "fakeface/evaluation/page.py" in STAGES[name]["deps"]:
        code = "".join((ROOT / dep).read_text() for dep in STAGES[name]["deps"] if dep.endswith(".py"))
        used = {"page.html", "page.css"} | {path.name for path in folder.iterdir() if f'"{path.name}"' in code}
        assert len(used) > 2
    declared = {Path(dep).name for dep in STAGES[name]["deps"] if Path(dep).parent == folder.relative_to(ROOT)}
    assert declared == used


def test_the_audit_comes_before_everything_that_trains():
    """DVC runs stages that do not rest on each other in the file's order: a failing audit stops before a training starts."""
    names = list(STAGES)
    assert names.index("audit") < min(names.index(name) for name in names if name.startswith("train_"))


@pytest.mark.parametrize("name", STAGES)
def test_every_parameter_read_is_declared(name):
    """Attributes read from `params.base` in the stage and its modules are listed as `base.<key>`.

    Of a section that the stage gives a short name (`p = params.evaluate`) each key read is listed, or the section as a whole.
    """
    declared = set(STAGES[name].get("params", []))
    tree = ast.parse((ROOT / "stages" / f"{name}.py").read_text())
    short = short_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in short:
            section = short[node.value.id]
            if (name, node.attr) not in NO_RESULT:
                assert {section, f"{section}.{node.attr}"} & declared, f"stages/{name}.py reads {section}.{node.attr}"
    for file in reached(ROOT / "stages" / f"{name}.py"):
        for node in ast.walk(ast.parse((ROOT / file).read_text())):
            if isinstance(node, ast.Attribute) and is_base(node.value) and (name, node.attr) not in NO_RESULT:
                assert f"base.{node.attr}" in declared, f"{file} reads base.{node.attr}"


def short_names(tree: ast.AST) -> dict[str, str]:
    """Variable -> section, from assignments such as `base, p = params.base, params.evaluate`."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            several = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            pairs = zip(target.elts, value.elts, strict=True) if several else [(target, value)]
            for to, of in pairs:
                if isinstance(of, ast.Attribute) and isinstance(of.value, ast.Name) and of.value.id == "params":
                    found[to.id] = of.attr
    return found


def is_base(node: ast.AST) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "base") or (
        isinstance(node, ast.Name) and node.id == "base"
    )


def test_package_files_hold_only_a_docstring():
    for path in (ROOT / "fakeface").rglob("__init__.py"):
        assert all(isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body), path


@pytest.mark.parametrize("name", STAGES)
def test_what_is_said_of_one_approach_is_said_of_all(name):
    """A stage that reads or writes something of one approach does so of every one; `fakeface wire` writes what is missing."""
    if name.startswith("train_"):
        return
    said = {approach: set() for approach in APPROACHES}
    for word in re.findall(r"[\w./]+", json.dumps(STAGES[name])):
        for approach in APPROACHES:
            if re.search(rf"(?<![a-z0-9]){approach}(?![a-z0-9])", word):
                said[approach].add(word.replace(approach, "*"))
    first, *others = said.values()
    assert all(other == first for other in others), said


def test_every_approach_has_its_stage_and_its_curve():
    assert [name.removeprefix("train_") for name in STAGES if name.startswith("train_")] == list(APPROACHES)
    plots: dict = {}
    for plot in YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["plots"]:
        plots |= plot
    assert list(plots["validation accuracy"]["y"]) == [f"reports/train/{name}/history.csv" for name in APPROACHES]


def test_imports_run_one_way():
    order = ["data", "training", "evaluation", "verdict", "web"]
    for path in (ROOT / "fakeface").rglob("*.py"):
        imported = {file.relative_to(ROOT).parts for file in local_imports(path)}
        assert not any(parts[0] == "stages" for parts in imported), path
        here = path.relative_to(ROOT / "fakeface").parts[0]
        if here in order:
            allowed = order[: order.index(here) + 1] + ["tracking"] * (
                here in ("verdict", "web")
            )  # the registry, dvc.lock
            assert {parts[1] for parts in imported if len(parts) == 3} <= set(allowed), path


def test_only_tracking_imports_mlflow():
    users = [
        p
        for p in [*(ROOT / "fakeface").rglob("*.py"), *(ROOT / "stages").glob("*.py")]
        if "import mlflow" in p.read_text()
    ]
    assert users
    assert {p.parent.name for p in users} == {"tracking"}


def test_the_committed_lock_is_that_of_this_code():
    """Whoever changes a stage's code reruns the pipeline and commits the lock; seen here without running dvc."""
    lock = YAML(typ="safe").load((ROOT / "dvc.lock").read_text())["stages"]
    assert set(lock) == {name for name, stage in WRITTEN.items() if "foreach" not in stage}
    for name, stage in lock.items():
        for dep in stage["deps"]:
            if dep["path"].endswith(".py"):
                digest = hashlib.md5((ROOT / dep["path"]).read_bytes(), usedforsecurity=False).hexdigest()
                assert dep["md5"] == digest, f"{dep['path']} changed since {name} ran: dvc repro, then commit dvc.lock"
