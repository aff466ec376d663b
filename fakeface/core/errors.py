"""What the user did wrong, said in one line."""

import importlib.util

NO_PROJECT = "run this in the project's root, or make one with `fakeface new DIR`"


class UserError(Exception):
    """A mistake in data, parameters or files; the message names the file, the key and the remedy."""


def one_line(error: Exception) -> str:
    """What an exception says in one line of at most 200 characters; its name where it says nothing."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def require_packages(command: str, *names: str) -> None:
    """Raises UserError with the remedy when a package is missing that `fakeface <command>` needs, whose extra has its name."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"fakeface {command} needs {', '.join(missing)}: run `pip install 'fakeface[{command}]'`")


def readable(name: str) -> str:
    """A file name as text that can be encoded: bytes that are not UTF-8 become \\xff and the like, everything else stays.

    Args:
        name: as Python gives file names, such bytes as lone surrogates (`os.fsdecode`).
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def printable(text: object) -> str:
    """One line: control characters, bytes that are no UTF-8 and marks that turn the writing direction are escaped as in Python.

    For names of files in messages: they may hold anything, such as line breaks and commands to the terminal.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in readable(str(text)))
