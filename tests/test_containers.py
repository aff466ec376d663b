"""Dockerfile and devcontainer, as far as they can be checked without Docker."""

import json
import re

import pytest
from conftest import ROOT

TARGETS = ["predict", "web", "mlflow"]


def stages():
    """Name -> (the image or stage that it starts from, its instructions as (word, rest))."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    found = {}
    for word, rest in lines:
        if word == "FROM":
            start, _, name = rest.split()
            found[name] = (start, [])
        else:
            found[name][1].append((word, rest))
    return found


def instructions(name):
    """Those of a stage, after those of the stages that it starts from."""
    start, own = stages()[name]
    return [*(instructions(start) if start in stages() else []), *own]


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_does_not_run_as_root(target):
    users = [rest for word, rest in instructions(target) if word == "USER"]
    assert users[-1] == "1000"
    assert instructions(target)[-1][0] == "ENTRYPOINT"
    assert json.loads(instructions(target)[-1][1])


def test_what_goes_into_the_images_is_named_and_there():
    images = {start for start, _ in stages().values()} - set(stages())
    assert all(re.fullmatch(r"python:3\.\d+-slim-\w+", image) for image in images)
    lines = [line for _, own in stages().values() for line in own]
    assert "ADD" not in {word for word, _ in lines}
    copied = [rest.split() for word, rest in lines if word == "COPY"]
    assert all((ROOT / path).exists() for parts in copied if "--from" not in parts[0] for path in parts[:-1])
    assert {parts[0].removeprefix("--from=") for parts in copied if "--from" in parts[0]} <= set(stages())
    installs = [rest for word, rest in lines if word == "RUN" and "pip install" in rest]
    assert all("--constraint cpu.lock" in rest or "--no-deps" in rest or "uv==" in rest for rest in installs)


def test_the_page_names_the_targets_and_publishes_on_this_machine_alone():
    section = (ROOT / "docs/use.md").read_text().partition("\n## Containers\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"--target (\w+)", section)) == set(TARGETS)
    ports = {rest for word, rest in (line for name in TARGETS for line in instructions(name)) if word == "EXPOSE"}
    assert {f"-p 127.0.0.1:{port}:{port}" for port in ports} == set(re.findall(r"-p \S+", section))
    assert 0 < len(section.split()) <= 150


def test_the_devcontainer_calls_what_exists():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    target = container["postCreateCommand"].removeprefix("make ")
    assert f"\n{target}:" in (ROOT / "Makefile").read_text()
    assert re.fullmatch(r"python:3\.\d+-\w+", container["image"])
