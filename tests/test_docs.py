"""The pages hang together: every link leads somewhere, every page is reached from the README, the citation file is valid YAML."""

import ast
import re
import runpy
import tomllib
from pathlib import Path

import networkx as nx
import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from fakeface.cli.commands import app

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", ROOT / "README.zh.md"]
PAGES = [*READMES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def links(page: Path) -> list[str]:
    """Targets of the page's links and pictures that lie in the project."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    return [
        target
        for target in re.findall(r"\]\(([^)\s]+)\)", text)
        if not target.startswith(("http:", "https:", "mailto:"))
    ]


def anchors(page: Path) -> set[str]:
    """What a page's headings are called in a link, as the forges write it."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(file), f"{page.name}: {target}"


def test_every_page_is_reached_from_the_readme():
    reached = {(ROOT / target.partition("#")[0]).resolve() for target in links(ROOT / "README.md")}
    assert {page for page in PAGES if page.name != "README.md"} <= reached


def test_both_readmes_have_the_same_commands_links_and_results():
    texts = [file.read_text() for file in READMES]
    commands = [
        [line.partition(" #")[0].strip() for line in re.findall(r"^    (.*)$", text, re.MULTILINE)] for text in texts
    ]
    assert commands[0] == commands[1]
    assert len(commands[0]) == 10
    targets = [sorted(set(links(file)) - {other.name for other in READMES}) for file in READMES]
    assert targets[0] == targets[1]
    results = [re.findall(r"[\d.]+", "".join(re.findall(r"^.*\| 0\.\d+ \|$", text, re.MULTILINE))) for text in texts]
    assert results[0] == results[1]
    assert len(results[0]) > 20


def test_figures_in_the_readme_are_those_of_results():
    measured = (ROOT / "docs/results.md").read_text()
    cells = re.findall(
        r"\| (\S+ % \([\d.]+ to [\d.]+\)) \| (0\.\d+) \|", (ROOT / "README.md").read_text().replace("**", "")
    )
    assert len(cells) == 5
    rows = [line.replace("**", "") for line in measured.splitlines()]
    assert all(any(accuracy in row and auc in row for row in rows) for accuracy, auc in cells)


def test_pictures_are_small_enough_to_be_in_git():
    assert max(path.stat().st_size for path in (ROOT / "docs/images").glob("*.svg")) < 100_000
    assert max(path.stat().st_size for path in (ROOT / "docs/images").glob("*.[jp]*g")) < 250_000


def test_every_picture_is_shown_and_described():
    shown = [
        cell for page in PAGES for cell in re.findall(r"!\[([^\]]*)\]\((?:docs/)?images/([^)]+)\)", page.read_text())
    ]
    assert {name for _, name in shown} == {path.name for path in (ROOT / "docs/images").iterdir()}
    assert all(len(described) > 20 for described, _ in shown)


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # from pygtrie, as DVC uses it
def test_the_picture_of_the_pipeline_is_that_of_dvc():
    """Its arrows are DVC's, without those that others imply."""
    text = (ROOT / "docs/images/pipeline.svg").read_text()
    arrows = re.findall(r'data-from="([^"]+)" data-to="([^"]+)"', text)
    drawn = {(start, end) for starts, ends in arrows for start in starts.split() for end in ends.split()}
    with Repo(ROOT) as repo:
        stages = nx.transitive_reduction(repo.index.graph.reverse())
    assert drawn == {(start.name, end.name) for start, end in stages.edges}
    assert set(re.findall(r"<text [^>]*>(\w+)</text>", text)) == {stage.name for stage in stages}


def test_commands_that_the_pages_name_are_there():
    known = {command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands}
    for page in PAGES:
        named = set(re.findall(r"^(?:    |\$ )?fakeface ([a-z-]+)", page.read_text(), re.MULTILINE))
        named |= set(re.findall(r"`fakeface ([a-z-]+)", page.read_text()))
        assert named <= known, f"{page.name} names {named - known}"


def test_messages_that_troubleshooting_quotes_are_in_the_code():
    """The first column's text in backticks, `...` for what differs; those of other programs are marked with their names."""
    files = [file for folder in ("fakeface", "stages") for file in (ROOT / folder).rglob("*.py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    page = (ROOT / "docs/troubleshooting.md").read_text()
    quoted = re.findall(r"^\| `([^`]+)`( \((?:DVC|MLflow|Python)\))? \|", page, re.MULTILINE)
    assert len(quoted) == len(re.findall(r"^\| .*\|$", page, re.MULTILINE)) - page.count("| message |") > 40
    for message, others in quoted:
        parts = [part.strip() for part in message.split("...")]
        missing = [part for part in parts if not any(part in text for text in texts)]
        assert others or not missing, f"{message}: {missing}"


def test_the_reference_is_that_of_the_code():
    generated = runpy.run_path(str(ROOT / "docs/reference.py"))["page"]()
    assert generated == (ROOT / "docs/reference.md").read_text(), "run `make reference`"
    sections = YAML(typ="safe").load((ROOT / "recipes/default.yaml").read_text())
    named = set(re.findall(r"^### (?:fakeface )?(\w+)$", generated, re.MULTILINE))
    assert named == set(sections) | {command.callback.__name__ for command in app.registered_commands}
    assert all(generated.count(f"`{key}") for section in sections.values() for key in section)


def test_the_table_of_dependencies_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [project["dependencies"], *project["optional-dependencies"].values()]
    named = {re.split(r"[\[>=]", line)[0] for lines in extras for line in lines} - {"fakeface"}
    table = (ROOT / "docs/develop.md").read_text().partition("| package | what for |")[2]
    cells = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
    listed = [re.sub(r"^\*\*.*\*\*: ", "", name) for cell in cells for name in cell.split(", ")]
    assert sorted(listed) == sorted(named)


def test_the_citation_file_is_of_this_version():
    cited = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(cited)  # what the format requires
    assert f'version = "{cited["version"]}"' in (ROOT / "pyproject.toml").read_text()
    assert cited["license"] == "MIT"
    for source in cited["references"]:
        assert {"type", "title", "authors"} <= set(source)
        assert "doi" in source or "url" in source


def test_the_worked_example_of_limits_is_that_of_the_measured_rates():
    """docs/limits.md: 1000 photos, 1 in 100 fake, with the rates of recipe robust in docs/results.md."""
    row = re.search(
        r"^\| `robust` \|[^|]*\| ([\d.]+) % \| ([\d.]+) % \|", (ROOT / "docs/results.md").read_text(), re.MULTILINE
    )
    reals, fakes = (float(rate) / 100 for rate in row.groups())
    text = (ROOT / "docs/limits.md").read_text()
    words = " ".join(text.split())
    assert (
        f"| 10 fakes | {10 * fakes:.0f} ({10 * fakes:.1f}) | {10 * (1 - fakes):.0f} ({10 * (1 - fakes):.1f}) |" in text
    )
    assert (
        f"| 990 reals | **{990 * (1 - reals):.0f}** ({990 * (1 - reals):.1f}) | {990 * reals:.0f} ({990 * reals:.1f}) |"
        in text
    )
    assert f"{100 * reals:.1f} % of the reals real and {100 * fakes:.1f} % of the fakes fake" in words
    assert f"= {0.8 * 0.01 / (0.8 * 0.01 + 0.2 * 0.99):.3f}:" in text


def test_a_training_can_be_read_in_eight_files_and_1000_lines():
    """The list in docs/develop.md; of dvc.yaml one block counts."""
    listed = re.findall(r"^\| \d \| `([^`]+)`", (ROOT / "docs/develop.md").read_text(), re.MULTILINE)
    assert len(listed) == 8
    assert listed[0] == "dvc.yaml"
    block = re.search(r"^  train_scratch:\n(?:    .*\n)+", (ROOT / "dvc.yaml").read_text(), re.MULTILINE)
    lines = [block.group(), *((ROOT / name).read_text() for name in listed[1:])]
    assert sum(text.count("\n") for text in lines) <= 1000
