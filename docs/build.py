"""Gathers the pages of the site in build/docs, which Zensical then builds as mkdocs.yml says: `make site`.

The home page is README.md, so the pages of docs/ and those beside it become one folder: links are rewritten, notebooks become
Markdown, and the navigation follows the README's list of pages."""

import json
import posixpath
import re
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<=\]\()[^)\s]+")
TITLES = {"README.zh.md": "简体中文"}  # all other pages are called by their headings


def place(path: str) -> str:
    """Where a file of the project stands in the site: `docs/start.md` -> `start.md`, `README.md` -> `index.md`."""
    name = path.removeprefix("docs/")
    return "index.md" if name == "README.md" else re.sub(r"\.ipynb$", ".md", name)


def text_of(cell: dict[str, Any]) -> str:
    """A notebook's cell as Markdown: its text, or its code and the outputs that were saved with it."""
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        return source
    parts = [f"```python\n{source}\n```"]
    for output in cell["outputs"]:
        data = output.get("data", {"text/plain": output.get("text", "")})
        picture = next((kind for kind in data if kind in ("image/png", "image/jpeg")), None)
        if picture:
            parts.append(
                f'<img alt="Output of the code above" src="data:{picture};base64,{"".join(data[picture]).strip()}">'
            )
        elif "text/html" in data:  # a table of pandas; the site has a style of its own
            html = re.sub(r"<style.*?</style>", "", "".join(data["text/html"]), flags=re.DOTALL)
            parts.append(re.sub(r"<table[^>]*>", "<table>", html))
        else:
            parts.append(f"```text\n{''.join(data['text/plain']).rstrip()}\n```")
    return "\n\n".join(parts)


def read(path: Path) -> str:
    if path.suffix == ".ipynb":
        return "\n\n".join(text_of(cell) for cell in json.loads(path.read_text())["cells"])
    return path.read_text()


def gather(root: Path, out: Path) -> None:
    """Writes the pages, SUMMARY.md (the navigation) and every file that a page links to into the folder `out`, made anew."""
    shutil.rmtree(out, ignore_errors=True)
    docs = [path for path in sorted((root / "docs").iterdir()) if path.suffix in (".md", ".ipynb")]
    titles: dict[str, str] = {}
    linked = {"docs/site.css"}
    for path in [*sorted(root.glob("*.md")), *docs]:
        name = path.relative_to(root).as_posix()

        def moved(match: re.Match[str], name: str = name) -> str:
            target, _, anchor = match[0].partition("#")
            if not target or re.match(r"\w+:", target):
                return match[0]
            file = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
            linked.add(file)
            relative = posixpath.relpath(place(file), posixpath.dirname(place(name)) or ".")
            return f"{relative}#{anchor}" if anchor else relative

        text = LINK.sub(moved, read(path))
        (out / place(name)).parent.mkdir(parents=True, exist_ok=True)
        (out / place(name)).write_text(text)
        heading = re.search(r"^# (.*)", text, re.MULTILINE)
        titles[place(name)] = TITLES.get(name) or (heading[1] if heading else place(name))
    for file in linked:
        if (
            place(file) not in titles and (root / file).is_file()
        ):  # a link to nothing is left to Zensical, which reports it
            (out / place(file)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / file, out / place(file))
    listed = LINK.findall((out / "index.md").read_text().partition("\n## Documentation\n")[2])
    order = dict.fromkeys(["index.md", *(link.partition("#")[0] for link in listed), *titles])
    (out / "SUMMARY.md").write_text("".join(f"* [{titles[page]}]({page})\n" for page in order if page in titles))


if __name__ == "__main__":
    gather(ROOT, ROOT / "build/docs")
