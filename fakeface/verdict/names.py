"""File names as they may be shown: they come from strangers, hold any character but / and NUL, and need not be text."""


def readable(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 become \\xff and the like, everything else stays.

    Args:
        name: as Python gives file names, such bytes as lone surrogates (os.fsdecode).
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def printable(name: str) -> str:
    """A file name as one line that does nothing to a terminal: what is not printable becomes \\n, \\x1b, \\u202e and the like."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in readable(name))
