"""The prose linter: `python docs/prose.py` checks the pages and the texts in the code; a finding is file, line and rule.

docs/prose.toml has our own rules: phrases with what to write instead, terms, British spelling, the longest sentence. A word
written twice is a finding too. Pages must also pass the checks of proselint in `PROSELINT`. Exit code 1 if anything is found.
"""

import ast
import re
import sys
import tokenize
import tomllib
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

ROOT = Path(__file__).parents[1]
RULES = tomllib.loads((ROOT / "docs/prose.toml").read_text())
PROSELINT = (
    *(
        "archaism",
        "cliches",
        "hedging",
        "malapropisms",
        "mixed_metaphors",
        "mondegreens",
        "needless_variants",
        "nonwords",
    ),
    *("oxymorons", "redundancy", "skunked_terms", "spelling", "uncomparables", "weasel_words"),
)
GENERATED = ("reference.md", "model_card.md")  # from texts in the code
CODE = ("fakeface", "stages", "recipes", "params.yaml", "dvc.yaml")
Finding = tuple[int, str]  # line, and what is wrong


def rules(*sections: str) -> dict[re.Pattern[str], str]:
    """Pattern -> what to write instead."""
    pairs = [(p.replace(" ", r"\s+"), better) for section in sections for p, better in RULES[section].items()]
    return {re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.IGNORECASE): better for pattern, better in pairs}


def line_of(text: str, place: int) -> int:
    return 1 + text.count("\n", 0, place)


def words(text: str, known: dict[re.Pattern[str], str], first: int = 1) -> Iterator[Finding]:
    """What `known` finds in a text that starts on line `first`."""
    for pattern, better in known.items():
        for match in pattern.finditer(text):
            yield first - 1 + line_of(text, match.start()), f"{match.group()!r}: write {better!r}"


def blank(match: re.Match[str]) -> str:
    """As many characters and lines, without words."""
    return re.sub(r"[^\n]", " ", match.group())


def prose(page: str) -> str:
    """A page without code blocks, addresses and marks, line by line; code is one word, a cell of a table ends a sentence."""
    page = re.sub(r"^```.*?^```$", blank, page, flags=re.MULTILINE | re.DOTALL)
    page = re.sub(r"^    .*$|^\|[-| ]+\|$", blank, page, flags=re.MULTILINE)
    page = re.sub(r"(?<=\])\([^)\s]+\)|https?://\S+", blank, page)
    page = re.sub(r"`[^`\n]+`", lambda code: "X" * len(code.group()), page)
    return re.sub(r"[\[\]*#]", " ", page.replace("|", "."))


def page_findings(page: str) -> Iterator[Finding]:
    text = prose(page)
    yield from words(text, rules("instead", "terms", "spelling"))
    place = 0
    # a sentence ends at a full stop or colon, an empty line, or the next item of a list or row of a table
    for sentence in re.split(r"(?<=[.!?:])[)\"]?\s|\n\s*\n|\n(?= *(?:-|\d+\.|\.) )", text):
        place = text.index(sentence, place)
        if (count := len(re.findall(r"\w[\w'-]*", sentence))) > RULES["longest"]:
            yield line_of(text, place), f"a sentence of {count} words; at most {RULES['longest']}"
        place += len(sentence)
    for match in re.finditer(r"(?<![\w-])(\w*[a-z]\w*)(?: +|\n *)\1(?![\w-])", text):
        yield line_of(text, match.start()), f"{match.group(1)!r} twice"


def code_findings(file: Path) -> Iterator[Finding]:
    """Strings and comments of a module, comments of a YAML file, the text of a template."""
    known, text = rules("instead", "terms"), file.read_text()
    if file.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                yield from words(node.value, known, node.lineno)
        with file.open("rb") as source:
            for token in tokenize.tokenize(source.readline):
                if token.type == tokenize.COMMENT:
                    yield from words(token.string, known, token.start[0])
    elif file.suffix == ".yaml":
        yield from words(re.sub(r"^[^#\n]*", blank, text, flags=re.MULTILINE), known)
    else:
        yield from words(re.sub(r"<[^>]*>|{[{%].*?[}%]}", blank, text, flags=re.DOTALL), known)


def proselint_findings(page: str) -> Iterator[Finding]:
    from proselint.checks import __register__
    from proselint.config import Config
    from proselint.registry import CheckRegistry
    from proselint.tools import LintFile

    if not CheckRegistry().checks:
        CheckRegistry().register_many(__register__)
    text = prose(page)
    starts = list(accumulate((len(line) + 1 for line in text.split("\n")), initial=1))  # it puts a line break first
    for found in LintFile("page", text).lint(Config(max_errors=1000, checks=dict.fromkeys(PROSELINT, True))):
        yield bisect(starts, found.check_result.span[0]), found.check_result.message


def main() -> int:
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    pages += [page for page in sorted((ROOT / "docs").glob("*.md")) if page.name not in GENERATED]
    found = []
    for page in pages:
        text = page.read_text()
        if page.name == "CHANGELOG.md":
            text = "\n## ".join(text.split("\n## ")[:2])  # the newest section
        found += [(page, *one) for check in (page_findings, proselint_findings) for one in check(text)]
    places = [file for name in CODE for file in (ROOT / name, *sorted((ROOT / name).rglob("*")))]
    for file in (file for file in places if file.suffix in (".py", ".yaml", ".html")):
        found += [(file, *one) for one in code_findings(file)]
    for file, line, text in found:
        print(f"{file.relative_to(ROOT)}:{line}: {text}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
