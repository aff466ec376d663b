"""The pages as a reader sees them, in headless Chromium: whole, quiet, without the network, narrow and wide, light and dark."""

import pytest
from audit_page import html as audit_html
from audit_page import probes
from test_report import html as report_html

pytestmark = pytest.mark.slow
PAGES = {"audit": lambda: audit_html(probes()), "report": report_html}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pages")
    for name, make in PAGES.items():
        (path / f"{name}.html").write_text(make(), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_quiet_and_fits(browser, folder, name, width, scheme):
    said, asked = [], []
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    address = (folder / f"{name}.html").as_uri()
    page.goto(address, wait_until="load")
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    pictures = page.evaluate("[...document.images].map(i => [i.complete && i.naturalWidth > 0, i.alt])")
    assert pictures
    assert all(loaded and alt for loaded, alt in pictures)
    cut = "[...document.images].filter(i => i.getBoundingClientRect().right > innerWidth).map(i => i.alt)"
    assert page.evaluate(cut) == []
    assert said == []
    assert [url for url in asked if url != address and not url.startswith("data:")] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.scripts.length") == 0
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [int(part) for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
    assert (sum(channels) < 200) == (scheme == "dark")
    page.close()


def test_the_answer_is_on_the_first_screen(browser, folder):
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto((folder / "report.html").as_uri())
    for tile in page.locator(".tile").all():
        box = tile.bounding_box()
        assert box["y"] + box["height"] <= 800
    page.close()


def test_every_link_inside_the_page_leads_somewhere(browser, folder):
    page = browser.new_page()
    page.goto((folder / "report.html").as_uri())
    links = page.evaluate("[...document.links].map(l => l.getAttribute('href'))")
    inside = [link.removeprefix("#") for link in links if link.startswith("#")]
    assert len(inside) > 5
    assert all(page.evaluate("id => document.getElementById(id) !== null", name) for name in inside)
    assert {link for link in links if not link.startswith("#")} == {"audit/index.html", "explain/index.html"}
    page.close()
