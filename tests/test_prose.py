"""The prose linter names what a page or a module should not say, with its line, and leaves code alone. `make lint` runs it."""

import runpy
from pathlib import Path

import pytest

LINTER = runpy.run_path(str(Path(__file__).parents[1] / "docs/prose.py"))
LONG = " ".join(f"word{n}" for n in range(36))


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("Fine.\n\nWhat stands in the file\nhangs on it.", 3, "'stands in': write 'is in'"),
        ("The file lies\nin a folder.", 1, "'lies\\nin'"),
        ("- near duplicate", 1, "near-duplicate"),
        ("The grey\n\ncolor.", 3, "-our"),
        ("It is\nis wrong.", 1, "'is' twice"),
        (f"Short.\n{LONG}.", 2, "a sentence of 36 words; at most 35"),
        (f"| Short | {LONG} |", 1, "36 words"),
    ],
)
def test_a_finding_has_its_line_and_what_to_write(text, line, said):
    assert any(found[0] == line and said in found[1] for found in LINTER["page_findings"](text))


@pytest.mark.parametrize(
    "text",
    [
        "A `color` and a `dataset`.\n\n    beside = color   # code\n\n```sh\necho the the color\n```\n[text](beside.md#color)",
        "## Training\n\nTraining takes minutes.",
        f"| {LONG[:80]} | {LONG[:80]} |\n|---|---|\n| {LONG[:80]} | {LONG[:80]} |",
        f"- {LONG[:100]}\n- {LONG[:100]}\n\n{LONG[:100]}: {LONG[:100]}. {LONG[:100]}",
    ],
)
def test_code_cells_and_items_are_no_sentence(text):
    assert list(LINTER["page_findings"](text)) == []


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("a.py", '"""A slip of\nthe pen."""\n\nbeside = f"lies in {1}"  # goes on\n', {1, 4}),
        ("a.yaml", "beside: 1  # fine\nb: 2  # what lies in it\n", {2}),
        ("a.html", '<p class="beside">fine {{ beside }}</p>\n<p>next\nbeside</p>\n', {3}),
    ],
)
def test_texts_in_the_code_follow_the_rules_too(tmp_path, name, text, lines):
    (tmp_path / name).write_text(text)
    assert {line for line, _ in LINTER["code_findings"](tmp_path / name)} == lines


def test_pages_are_checked_by_proselint():
    pytest.importorskip("proselint", reason="comes with the extra dev")
    assert [line for line, _ in LINTER["proselint_findings"]("Fine.\n\nA very large file.\n")] == [3]
