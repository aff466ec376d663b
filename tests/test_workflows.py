"""What runs on GitHub: files that parse, targets that exist, read-only rights but for the two jobs of a release."""

import re
import subprocess

import pytest
from conftest import ROOT
from ruamel.yaml import YAML

from fakeface.cli.commands import app

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_what_exists(path):
    workflow = YAML(typ="safe").load(path)
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    called = {target for step in steps for target in re.findall(r"make ([a-z-]+)", step.get("run", ""))}
    assert called <= targets
    assert called
    assert workflow["permissions"] == {"contents": "read"}
    rights = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    pages = {"contents": "read", "pages": "write", "id-token": "write"}
    assert rights == ({"wheel": {"contents": "write"}, "site": pages} if path.stem == "release" else {})
    assert all(job["timeout-minutes"] <= 120 for job in workflow["jobs"].values())


def test_every_supported_python_is_tested():
    jobs = YAML(typ="safe").load(ROOT / ".github/workflows/ci.yml")["jobs"]
    least = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())[1]
    assert jobs["test"]["strategy"]["matrix"]["python"][0] == least


def test_hooks_call_what_exists():
    hooks = YAML(typ="safe").load(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    tests = re.search(r"(tests/\S+\.py) -k (\w+)", hooks[-1]["entry"])
    assert tests[2] in (ROOT / tests[1]).read_text()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_steps_are_valid_shell_and_name_commands_that_exist(path):
    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    for job in YAML(typ="safe").load(path)["jobs"].values():
        for text in [step["run"] for step in job["steps"] if "run" in step]:
            subprocess.run(["bash", "-n"], input=text, text=True, check=True)
            assert set(re.findall(r"\bfakeface\"? ([a-z]+)", text)) <= known
