"""Exit codes and what stands on stderr, in real processes."""

import subprocess
import sys

import pytest

STAGE = '''"""First line.

Reads   this
Writes  that
"""
from fakeface.core.errors import UserError
from fakeface.core.run import run

def stage() -> None:
    {body}

run(stage, __doc__)
'''


def run_stage(body, *arguments):
    command = [sys.executable, "-c", STAGE.format(body=body), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_success_exits_0():
    result = run_stage("print('done')")
    assert (result.returncode, result.stdout, result.stderr) == (0, "done\n", "")


def test_what_is_to_be_done_at_the_end_is_done_and_no_more():
    """Threads, exit functions and buffers; the interpreter is not taken down, which takes 0.3 s with torch."""
    body = """import atexit, threading, time
    global kept
    kept = type("Kept", (), {"__del__": lambda self: print("taken down")})()
    atexit.register(print, "exit function", end="")
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    raise SystemExit(7)"""
    result = run_stage(body)
    assert (result.returncode, result.stdout, result.stderr) == (7, "thread\nexit function", "")


def test_user_error_exits_1_with_one_line():
    result = run_stage("raise UserError('x.jpg: is empty')")
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "error: x.jpg: is empty\n")


@pytest.mark.parametrize("arguments", [("--nope",), ("surplus",)])
def test_wrong_usage_exits_2_without_a_traceback(arguments):
    result = run_stage("print('done')", *arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_help_shows_the_docstring_line_by_line():
    result = run_stage("print('done')", "--help")
    assert result.returncode == 0
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert {"First line.", "Reads   this", "Writes  that"} <= set(lines)


def test_interrupt_exits_with_an_error_and_without_a_traceback():
    result = run_stage("raise KeyboardInterrupt")
    assert result.returncode != 0
    assert "Traceback" not in result.stderr


def test_bug_keeps_its_traceback():
    result = run_stage("1 / 0")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "ZeroDivisionError" in result.stderr


def test_what_may_not_be_written_is_one_line_with_a_remedy():
    result = run_stage("raise PermissionError(13, 'Permission denied', 'models/x.partial')")
    assert result.returncode == 1
    assert result.stderr.startswith("error: models/x.partial: Permission denied; ")
    assert len(result.stderr.splitlines()) == 1
