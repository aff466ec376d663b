"""`fakeface web`: what stops it is said in a line, and Ctrl-C ends it quietly."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from test_web_app import detector

from fakeface.core.errors import UserError
from fakeface.detector import checkpoints
from fakeface.predict.web import serve

COMMAND = [str(Path(sys.executable).parent / "fakeface"), "web", "--no-browser"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, one = tmp_path_factory.mktemp("web"), detector()
    checkpoints.save(folder / "model", one.model, one.card | {"data_hash": "0"})
    return folder


@pytest.mark.slow
def test_it_answers_on_this_machine_until_ctrl_c(folder):
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*COMMAND, "--model", "model", "--port", "0"],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    line = process.stdout.readline()
    url = line.split()[2]
    assert line == f"scratch at {url} (Ctrl-C ends it)\n"
    assert url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(url, timeout=60) as page:  # noqa: S310
        text = page.read().decode()
    assert "how often it errs is not known here" in text
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert process.stderr.read() == ""
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=5)  # noqa: S310


def test_it_imports_no_more_than_it_needs():
    """Each of these takes 0.2 s or more."""
    code = (
        "import sys, fakeface.predict.detector, fakeface.predict.facts, fakeface.predict.web.app; print(*sys.modules)"
    )
    imported = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert "torch" in imported.split()
    assert not {"pandas", "sklearn", "scipy", "matplotlib", "mlflow", "torchvision", "torch._dynamo"} & set(
        imported.split()
    )


@pytest.mark.parametrize(
    ("command", "call"),
    [
        ("fakeface.predict.command", "predict(['a.jpg'], model='model')"),
        ("fakeface.predict.web.serve", "serve('model', 0, False)"),
    ],
)
def test_torch_is_imported_after_its_threads_were_told_to_sleep(folder, command, call):
    code = f"""
import builtins, os, sys
from {command} import *
assert "torch" not in sys.modules
real = builtins.__import__
def find(name, *rest):
    if name == "torch":
        sys.exit(os.environ["OMP_WAIT_POLICY"])
    return real(name, *rest)
builtins.__import__ = find
{call}"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    ran = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert ran.stderr.split()[-1] == "passive"


def test_a_port_that_is_taken_is_said_with_the_remedy():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UserError, match=r"port \d+: Address already in use; choose another with --port"):
            serve._listening(other.getsockname()[1])


def test_without_flask_the_remedy_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"fakeface web needs flask: run `pip install 'fakeface\[web\]'`"):
        serve.serve(None, 0, False)
