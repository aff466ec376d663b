"""The site: its pages are those of README.md and docs/, it asks no other host, and it reads well on a phone and on a desk."""

import json
import re
import runpy
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import ROOT

gather = runpy.run_path(str(ROOT / "docs/build.py"))["gather"]


def build(folder):
    """`make site` in a folder that holds build/docs."""
    pytest.importorskip("zensical", reason="zensical is not installed (make setup): the site is not built")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)


def test_pages_of_two_folders_become_one(tmp_path):
    (tmp_path / "docs/images").mkdir(parents=True)
    (tmp_path / "docs/site.css").write_text("")
    (tmp_path / "docs/images/a.png").write_bytes(b"png")
    (tmp_path / "LICENSE").write_text("MIT")
    (tmp_path / "README.md").write_text(
        "# Home\n![a](docs/images/a.png) [b](docs/b.md#c)\n\n## Documentation\n[n](docs/n.ipynb) [c](https://c.org/d.md)"
    )
    (tmp_path / "docs/a.md").write_text("# A\n[home](../README.md) [licence](../LICENSE) [here](#a) [b](b.md)\n")
    (tmp_path / "docs/b.md").write_text("# B\n![a](images/a.png)\n")
    outputs = [
        {"output_type": "stream", "text": ["two\n", "lines\n"]},
        {
            "output_type": "execute_result",
            "data": {"text/plain": ["x"], "text/html": ["<style>\n</style>", '<table border="1"></table>']},
        },
        {"output_type": "display_data", "data": {"text/plain": ["y"], "image/jpeg": "iVBO\n"}},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# Note\n", "text"]},
        {"cell_type": "code", "source": ["1 + 1"], "outputs": outputs},
    ]
    (tmp_path / "docs/n.ipynb").write_text(json.dumps({"cells": cells}))
    gather(tmp_path, tmp_path / "out")
    pages = {path.name: path.read_text() for path in (tmp_path / "out").glob("*.md")}
    assert (
        pages.pop("index.md")
        == "# Home\n![a](images/a.png) [b](b.md#c)\n\n## Documentation\n[n](n.md) [c](https://c.org/d.md)"
    )
    assert pages.pop("a.md") == "# A\n[home](index.md) [licence](LICENSE) [here](#a) [b](b.md)\n"
    assert pages.pop("SUMMARY.md") == "* [Home](index.md)\n* [Note](n.md)\n* [A](a.md)\n* [B](b.md)\n"
    note = pages.pop("n.md")
    assert note.startswith(
        "# Note\ntext\n\n```python\n1 + 1\n```\n\n```text\ntwo\nlines\n```\n\n<table></table>\n\n<img "
    )
    assert 'src="data:image/jpeg;base64,iVBO"' in note
    assert set(pages) == {"b.md"}
    assert (tmp_path / "out/images/a.png").read_bytes() == b"png"
    assert (tmp_path / "out/LICENSE").read_text() == "MIT"


def test_a_broken_link_fails_the_build(tmp_path):
    gather(ROOT, tmp_path / "build/docs")
    page = tmp_path / "build/docs/limits.md"
    page.write_text(page.read_text() + "\n[x](use.md#no-such-heading)\n")
    result = build(tmp_path)
    assert result.returncode == 1
    assert "anchor does not exist" in result.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    gather(ROOT, folder / "build/docs")
    result = build(folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def url(site):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *parts):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_every_page_is_in_the_site_and_names_no_foreign_host(site):
    names = {
        path.stem for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*.ipynb")]
    }
    pages = {path.stem: path.read_text() for path in site.glob("*.html")}
    assert set(pages) == (names - {"README"}) | {"index", "404"}
    for name, html in pages.items():
        assert re.findall(r"<(?!a )[^>]*(?:src|href)=\"?(?:https?:)?//[^>]*>", html) == [], name
        assert r"\|" not in "".join(re.findall(r"<td>.*</td>", html)), (
            f"{name}: a | in code in a table needs another form"
        )
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert re.findall(r"url\(['\"]?(?:https?:)?//[^)]*|@import[^;]*", styles) == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1200])
def test_every_page_in_a_browser(browser, url, site, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{url}index.html", wait_until="networkidle")
    menu = "[...document.querySelectorAll('.md-nav--primary .md-nav__link[href]')].map(a => a.href.split('#')[0])"
    pages = set(page.evaluate(menu))
    assert {address.removeprefix(url) for address in pages} == {path.name for path in site.glob("*.html")} - {
        "404.html"
    }
    for address in sorted(pages):
        page.goto(address, wait_until="load")
        page.evaluate("for (const image of document.images) image.loading = 'eager'")
        page.wait_for_function("[...document.images].every(image => image.complete)")
        pictures = page.evaluate("[...document.querySelectorAll('article img')].map(i => [i.naturalWidth > 0, i.alt])")
        assert all(loaded and alt for loaded, alt in pictures), address
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        assert page.locator("article h1").count() == 1
    assert said == []
    assert [one for one in asked if not one.startswith((url, "data:"))] == []
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1200])
def test_the_search_finds_a_word(browser, url, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(url, wait_until="networkidle")
    page.locator("header label[for=__search], .md-search__button").filter(visible=True).first.click()
    page.keyboard.type("threshold")
    page.get_by_text(re.compile(r"^\d+ results$")).wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"\.html\?h=threshold"))
    page.locator("article mark", has_text="threshold").first.wait_for()
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_system_s_mode(browser, url, scheme):
    page = browser.new_page(color_scheme=scheme)
    page.goto(url, wait_until="networkidle")
    colour = re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (sum(map(int, colour[:3])) < 200) == (scheme == "dark")
    page.close()
