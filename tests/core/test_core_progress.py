"""A stage that runs for minutes says how far it is, also where there is no terminal."""

import sys

import pytest

from fakeface.core import progress


@pytest.fixture
def seconds(monkeypatch):
    """Each look at the clock is ten seconds later."""
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))


def test_without_a_terminal_a_line_comes_every_30_seconds_and_none_at_the_end(seconds, capsys):
    assert list(progress.progress(iter("abcdefg"), 7, "features", "batch")) == list("abcdefg")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "features: 3 of 7, 40 s left\nfeatures: 6 of 7, 10 s left\n")


def test_what_is_quick_says_nothing(capsys):
    assert list(progress.progress(range(3), 3, "features", "batch")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("unit", "bar"), [("batch", True), ("", False)])
def test_a_terminal_has_a_bar_where_there_is_a_unit(monkeypatch, capsys, unit, bar):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert list(progress.progress(range(3), 3, "features", unit)) == [0, 1, 2]
    assert ("3/3" in capsys.readouterr().err) == bar
