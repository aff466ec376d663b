"""dvc.yaml tells the truth: a stage declares the packages that it imports and the parameters that it reads, and no others.

And the packages themselves: imports run one way, none is too large, and the committed lock is that of this code.
"""

import ast
import graphlib
import json
import re
from pathlib import Path

import pytest
from conftest import ROOT, copy_files
from ruamel.yaml import YAML

from fakeface.core.params import APPROACHES, Params

TEXT = (ROOT / "dvc.yaml").read_text()
PIPELINE = YAML(typ="safe").load(TEXT)
PACKAGES = ROOT / "fakeface"
# Lowest first; packages of one line do not import each other. core and tracking shape no output, so no stage declares them.
LEVELS = [
    {"core"},
    {"images"},
    {"split"},
    {"detector"},
    {"training", "scoring", "pages"},
    {"sample", "aligned", "audit", "features", "robustness", "explain", "report", "variants"},
    {"tracking"},
    {"predict"},
    {"cli", "library"},
    {"stages"},
]
# Stages that a variant runs by themselves, in a folder of its own, beside `train_<approach>`.
RUNS = {"variant_seed": ["features"], "variant_leak": ["split", "features"], "variant_without": ["features"]}
# Read, and not declared: the number of threads of `sample`, `split` and `aligned` changes no output; what `extra` and `aligned`
# read of their own entries is in their commands and dependencies; a variant's seed is in its command.
NOT_DECLARED = {
    ("sample", "base.threads"),
    ("split", "base.threads"),
    ("extra", "evaluate.extra_sets"),
    ("aligned", "aligned.sources"),
    ("aligned", "base.threads"),
    ("variant_seed", "base.seed"),
}


def all_stages() -> dict[str, dict]:
    """What dvc.yaml says of each stage; of the variants once for each approach, under `<stage>@<approach>`."""
    found = {}
    for name, written in PIPELINE["stages"].items():
        stage = written.get("do", written)
        if name not in RUNS:
            found[name] = stage
            continue
        for approach in APPROACHES:
            text = json.dumps(stage).replace("${item.approach}", approach).replace("${item}", approach)
            found[f"{name}@{approach}"] = json.loads(text)
    return found


STAGES = all_stages()


def local_imports(path: Path) -> set[Path]:
    """Files of this project that a file imports anywhere in it, or has `run_stage` import."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and re.fullmatch(r"fakeface[\w.]+:\w+", str(node.value)):
            names = [node.value.partition(":")[0]]
        else:
            continue
        found |= {file for name in names if (file := ROOT / (name.replace(".", "/") + ".py")).is_file()}
    return found


def package(path: Path) -> str:
    """The folder in fakeface/ (a package inside another one counts as that), or `stages`."""
    parts = path.relative_to(ROOT).parts
    return parts[1] if parts[0] == "fakeface" else parts[0]


def reached(script: str) -> set[Path]:
    """The files that a stage's script comes to by imports, but for those of core and tracking."""
    todo, seen = {ROOT / "stages" / f"{script}.py"}, set()
    while todo:
        file = todo.pop()
        seen.add(file)
        todo |= {other for other in local_imports(file) - seen if package(other) not in ("core", "tracking")}
    return seen


def scripts(name: str) -> list[str]:
    """The stage's own script, and those of the stages that it runs."""
    stage, _, approach = name.partition("@")
    own = STAGES[name]["cmd"].split()[2]
    return [own, *RUNS[stage], f"train_{approach}"] if approach else [own]


def declared(name: str) -> set[str]:
    """section.key, a section declared whole as all its keys; `params.yaml:` as every key there is."""
    keys = {section: list(field.annotation.model_fields) for section, field in Params.model_fields.items()}
    found = set()
    for item in STAGES[name]["params"]:
        sections = list(keys) if item == {"params.yaml": None} else [] if "." in item else [item]
        found |= {f"{section}.{key}" for section in sections for key in keys[section]} or {item}
    return found


def read(script: str) -> tuple[set[str], set[str]]:
    """The sections that the script's files take from `params`, or as arguments, and section.key for each key of them used as an
    attribute."""
    sections, keys = set(), set()
    kinds = {field.annotation.__name__: name for name, field in Params.model_fields.items()}
    for file in reached(script):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
        here = {a.attr for a in attributes if isinstance(a.value, ast.Name) and a.value.id == "params"}
        here |= {kinds.get(getattr(node.annotation, "id", None)) for node in nodes if isinstance(node, ast.arg)}
        here &= set(Params.model_fields)
        names = {a.attr for a in attributes}
        sections |= here
        keys |= {f"{s}.{key}" for s in here for key in Params.model_fields[s].annotation.model_fields if key in names}
    return sections, keys


@pytest.mark.parametrize("name", STAGES)
def test_the_packages_declared_are_those_that_are_imported(name):
    deps = set(STAGES[name]["deps"])
    needed = {f"fakeface/{package(f)}" for s in scripts(name) for f in reached(s) if package(f) != "stages"}
    assert {dep for dep in deps if dep.startswith("fakeface/")} == needed
    assert {dep for dep in deps if dep.startswith("stages/")} == {f"stages/{script}.py" for script in scripts(name)}


def test_no_line_names_a_file_of_fakeface_and_the_pipeline_is_read_at_a_glance():
    assert not re.findall(r"fakeface/[^\s,\]]*[./][^\s,\]]*", TEXT)
    assert len(TEXT.splitlines()) <= 250


@pytest.mark.parametrize("name", [name for name in STAGES if name not in ("check", "report")])  # of all there are
def test_the_parameters_declared_are_those_that_are_read(name):
    stage, _, approach = name.partition("@")
    sections, keys = read(scripts(name)[0])
    exempt = {key for where, key in NOT_DECLARED if where == stage}
    wanted = keys - exempt
    if approach:  # it writes all parameters for the stages that it runs, and they say what they read
        wanted |= set().union(*(declared(other) for other in (*RUNS[stage], f"train_{approach}"))) - exempt
        assert declared(name) == wanted
        return
    assert wanted <= declared(name)
    assert exempt <= keys  # else the exception is a leftover
    for item in STAGES[name]["params"]:
        assert item in wanted or item in sections, f"{item} is not read"


@pytest.mark.parametrize("name", [name for name in STAGES if "@" in name])
def test_a_variant_rests_on_the_data_of_the_stages_that_it_runs(name):
    stage, _, approach = name.partition("@")
    others = [STAGES[other] for other in (*RUNS[stage], f"train_{approach}")]
    made = {out for other in others for out in other["outs"]}
    assert {dep for other in others for dep in other["deps"]} - made <= set(STAGES[name]["deps"])


def test_the_data_folder_is_listed_by_the_split_and_where_a_leak_is_asked_for_alone():
    """DVC lists it anew for each stage that names it, of 100,000 files in many seconds."""
    found = {name.partition("@")[0] for name, stage in all_stages().items() if "${split.data}" in stage["deps"]}
    assert found == {"split", "variant_leak"}


def test_the_audit_comes_before_everything_that_trains():
    """DVC runs stages that do not rest on each other in the file's order: a failing audit stops before a training starts."""
    names = list(STAGES)
    assert names.index("audit") < min(names.index(name) for name in names if name.startswith("train_"))


def test_every_approach_has_a_stage_and_its_line_in_the_registry_of_dvc_yaml():
    assert PIPELINE["vars"] == [{"approaches": list(APPROACHES)}]
    assert [name.removeprefix("train_") for name in STAGES if name.startswith("train_")] == list(APPROACHES)


def test_no_other_stage_and_no_package_names_an_approach():
    """What is made of every approach is made by way of the registry; core/params.py is the registry."""
    for name, stage in STAGES.items():
        if not name.startswith(("train_", "variant_")):
            assert not set(re.findall(r"[a-z]+", json.dumps(stage))) & set(APPROACHES), name
    for path in PACKAGES.rglob("*.py"):
        strings = [n.value for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Constant)]
        assert not set(strings) & {f"{prefix}{name}" for name in APPROACHES for prefix in ("", "train_")}, path


FILES = [*PACKAGES.rglob("*.py"), *(ROOT / "stages").glob("*.py")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_run_one_way_and_no_file_is_long(path):
    level = {name: number for number, names in enumerate(LEVELS) for name in names}
    if path != PACKAGES / "__init__.py":
        assert package(path) in level, "a package without a place in LEVELS"
        for other in local_imports(path):
            assert package(other) == package(path) or level[package(other)] < level[package(path)], other
    if path.name == "__init__.py" and path != PACKAGES / "__init__.py":  # that one names the public API
        assert all(isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body)  # a docstring
    assert len(path.read_text().splitlines()) <= 300
    assert "import mlflow" not in path.read_text() or package(path) == "tracking"


def test_no_two_modules_import_each_other_not_even_by_way_of_others():
    graphlib.TopologicalSorter({path: local_imports(path) for path in FILES}).prepare()  # raises CycleError


def test_packages_are_small():
    lines: dict[str, int] = {}
    for path in PACKAGES.rglob("*.py"):
        lines[package(path)] = lines.get(package(path), 0) + len(path.read_text().splitlines())
    largest = max(lines, key=lines.get)
    assert lines[largest] < 0.15 * sum(lines.values()), largest
    for folder in {path.parent for path in PACKAGES.rglob("*.py")}:
        assert len({path.name for path in folder.glob("*.py")} - {"__init__.py"}) <= 10, folder


def test_the_committed_lock_is_that_of_this_code():
    """Whoever changes a stage reruns the pipeline and commits the lock; DVC itself compares, and runs nothing."""
    from dvc.repo import Repo

    with Repo(ROOT) as repo:
        lock = YAML(typ="safe").load((ROOT / "dvc.lock").read_text())["stages"]
        stages = {stage.addressing: stage for stage in repo.index.stages if stage.addressing in PIPELINE["stages"]}
        assert set(lock) == set(stages)
        changed = {}
        for name, stage in stages.items():
            code = [d for d in stage.deps if d.def_path.startswith(("fakeface", "stages", "params.yaml"))]
            assert code
            changed |= {f"{name}: {path}": how for dep in code for path, how in dep.status().items()}
        assert changed == {}, "dvc repro, then commit dvc.lock and reports/"


def ordered(value):
    """Lists sorted: DVC sorts those of a stage that it writes."""
    if isinstance(value, dict):
        return {key: ordered(item) for key, item in value.items()}
    return sorted(map(ordered, value), key=json.dumps) if isinstance(value, list) else value


@pytest.mark.slow
def test_a_stage_without_expressions_of_its_own_can_be_frozen_and_nothing_else_in_the_file_changes(tmp_path):
    project = copy_files(tmp_path, "dvc.yaml", "params.yaml")
    project.run("dvc", "init", "-q", "--no-scm")
    plain = [name for name, stage in PIPELINE["stages"].items() if "${" not in json.dumps(stage)]
    assert {"sample", "features", "evaluate", *(f"train_{name}" for name in APPROACHES)} <= set(plain)
    load, path = YAML(typ="safe").load, tmp_path / "dvc.yaml"
    for command, frozen in (("freeze", set(plain)), ("unfreeze", set())):
        project.run("dvc", command, *plain)
        written = load(path.read_text())
        assert {name for name, stage in written["stages"].items() if stage.pop("frozen", False)} == frozen
        assert ordered(written) == ordered(PIPELINE)
    assert re.findall("#.*", path.read_text()) == re.findall("#.*", TEXT)
