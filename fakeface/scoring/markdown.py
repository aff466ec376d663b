"""Tables in Markdown, for people."""

from collections.abc import Iterable, Sequence


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Without a line end at the end. The texts stand as they are: none may hold a vertical bar or a line break."""
    lines = ["".join(f" {text} |" if text else " |" for text in row) for row in (head, *rows)]
    return "\n".join(f"|{line}" for line in (lines[0], "---|" * len(head), *lines[1:]))
