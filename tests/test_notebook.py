"""docs/article.ipynb: what is committed is a clean run, and it runs on faces of one's own."""

import ast
import json
import re

import pandas as pd
import pytest
from conftest import ROOT, TINY, environment, write_faces

from fakeface.core.params import APPROACHES

FILE = ROOT / "docs" / "article.ipynb"
# In place of magics and shell commands, which Python cannot parse.
MAGIC = re.compile(r"^( *)[!%].*$", re.MULTILINE)
SHRINK = f"""
from ruamel.yaml import YAML
values = YAML(typ="safe").load(Path("params.yaml"))
for name, section in { ({name: TINY[name] for name in TINY if name.startswith(("train", "features"))})!r}.items():
    values[name].update(section)
YAML().dump(values, Path("params.yaml"))
"""
KEEP = """
result.figures.to_csv("figures.csv")
result.predictions.to_csv("predictions.csv")
table.to_csv("table.csv")
"""


def test_what_is_committed_is_one_clean_run_with_small_outputs():
    text = FILE.read_text()
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} == {"stream", "execute_result", "display_data"}
    assert {output.get("name") for output in outputs} == {"stdout", None}  # nothing on stderr
    assert sum("image/jpeg" in output.get("data", {}) for output in outputs) == 3
    assert len(text) < 500_000
    shown = re.sub(r'"image/jpeg": "[^"]*"', "", text)
    assert not re.search(r"/(home|root|tmp|work|Users|var|usr)/|ipykernel_|site-packages", shown)
    for cell in cells:
        ast.parse(MAGIC.sub(r"\1pass", "".join(cell["source"])))


def test_the_articles_figures_are_those_of_results():
    text = FILE.read_text()
    for name, accuracy in zip(APPROACHES, ("99.7 %", "88.0 %", "100.0 %"), strict=True):
        assert re.search(rf"\| `{name}` \|.*\| {accuracy} \|", text)
        assert re.search(rf"^\| {name} \|.* {accuracy}", (ROOT / "docs/results.md").read_text(), re.MULTILINE)
        assert f'\\"{name}\\": {float(accuracy[:-2]) / 100:.3f}' in text


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.timeout(900)
def test_it_runs_on_faces_of_ones_own(tmp_path):
    """The committed one was made by `jupyter execute --inplace article.ipynb` in a folder outside the repository."""
    import nbformat
    from nbclient import NotebookClient

    write_faces(tmp_path / "faces", 24)
    notebook = nbformat.read(FILE, 4)
    places = {tag: place for place, cell in enumerate(notebook.cells) for tag in cell.metadata.get("tags", [])}
    notebook.cells[places["parameters"]].source = 'FACES, PROJECT = "faces", "project"'
    made = next(place for place, cell in enumerate(notebook.cells) if "!fakeface new" in cell.source)
    notebook.cells.insert(made + 1, nbformat.v4.new_code_cell(SHRINK))
    notebook.cells.append(nbformat.v4.new_code_cell(KEEP))
    folder = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=folder)
    client.execute(env=environment(PYTHONPATH=str(ROOT)))

    project = tmp_path / "project"
    manifest = pd.read_csv(project / "data/split/manifest.csv")
    table = pd.read_csv(project / "table.csv")
    assert table["set"].tolist() == manifest["split"].tolist()
    assert table["path"].tolist() == manifest["path"].tolist()
    scores = pd.read_csv(project / "predictions.csv")
    assert scores["path"].tolist() == manifest.loc[manifest["split"] == "test", "path"].tolist()
    figures = pd.read_csv(project / "figures.csv", index_col=0)
    assert figures.index.tolist() == list(APPROACHES)
    shown = "".join(str(cell.get("outputs")) for cell in notebook.cells)
    for name, row in figures.iterrows():
        card = json.loads((project / "models" / name / "card.json").read_text())
        right = (scores[f"score_{name}"] >= card["threshold"]) == (scores["label"] == 1)
        assert row["accuracy"] == pytest.approx(right.mean(), abs=1e-6)
        assert re.search(rf"{name} +{row['accuracy']:.3f}".rstrip("0"), shown)
