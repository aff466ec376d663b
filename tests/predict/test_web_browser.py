"""The page in headless Chromium, with real clicks, drops and uploads, from a real server."""

import threading
from urllib.parse import urlsplit

import pytest
from test_web_app import FACTS, detector, photo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url():
    from werkzeug.serving import make_server

    from fakeface.predict.web.app import make_app

    server = make_server("127.0.0.1", 0, make_app(detector(), FACTS), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/"
    server.shutdown()
    thread.join()


@pytest.fixture
def photos(tmp_path):
    for seed in range(3):
        (tmp_path / f"photo {seed}.png").write_bytes(photo(seed))
    (tmp_path / "letter.jpg").write_text("no image at all")
    return tmp_path


@pytest.fixture
def page(browser, url):
    context = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    page = context.new_page()
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(url)
    yield page
    hosts = {urlsplit(asked).hostname for asked in page.asked if not asked.startswith("data:")}
    assert hosts == {"127.0.0.1"}
    context.close()


def choose(page, *paths):
    """Clicks the field and chooses files in the browser's own dialogue; no button is pressed."""
    with page.expect_file_chooser() as chooser:
        page.locator(".drop").click()
    with page.expect_navigation():
        chooser.value.set_files([str(path) for path in paths])


def test_one_photo_is_judged(page, photos):
    choose(page, photos / "photo 0.png")
    assert page.locator(".answer h3").inner_text() == "photo 0.png"
    assert page.locator(".answer .big").inner_text() in ("looks computer-made", "looks real", "unsure")
    assert "threshold 0.50" in page.locator("svg.scale").text_content()
    picture = page.locator(".answer img")
    assert picture.evaluate("i => i.complete && i.naturalWidth") == 448
    assert "photo 0.png" in picture.get_attribute("alt")
    assert page.locator("table").count() == 0
    assert page.said == []


def test_a_batch_with_a_wrong_file_gives_a_table(page, photos):
    choose(page, *sorted(photos.iterdir()))
    rows = page.locator("tbody tr").all_inner_texts()
    assert [row.split("\t")[0] for row in rows] == ["letter.jpg", "photo 0.png", "photo 1.png", "photo 2.png"]
    assert "not judged" in rows[0]
    assert "known image format" in page.locator(".answer").first.inner_text()
    assert page.said == []


def test_a_drop_anywhere_on_the_page_is_judged(page):
    data = page.evaluate_handle(
        """bytes => { const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "dropped.png")); return data; }""",
        list(photo(1)),
    )
    with page.expect_navigation():
        page.dispatch_event("h1", "drop", {"dataTransfer": data})
    assert page.locator(".answer h3").inner_text() == "dropped.png"
    assert page.said == []


def huge(folder):
    with open(folder / "huge.jpg", "wb") as file:
        file.truncate(210_000_000)
    return folder / "huge.jpg"


def test_a_huge_file_is_not_even_sent(page, tmp_path, url):
    page.set_input_files("#photos", str(huge(tmp_path)))
    page.get_by_text("Too much at once: at most 50 photos and 200 MB together.").wait_for()
    assert [asked for asked in page.asked if asked.startswith(url + "#")] == []
    assert page.locator("#photos").input_value() == ""


def test_without_script_a_button_sends_and_the_server_refuses_what_is_huge(browser, url, photos):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(url)
    page.set_input_files("#photos", str(photos / "photo 1.png"))
    page.get_by_role("button", name="Judge").click()
    page.locator(".answer").wait_for()
    page.set_input_files("#photos", str(huge(photos)))
    page.get_by_role("button", name="Judge").click()
    page.get_by_text("Too much at once").wait_for()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_and_is_light_or_dark(browser, url, photos, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(url)
    (photos / f"{'long' * 50}.png").write_bytes(photo(7))
    with page.expect_navigation():
        page.set_input_files("#photos", [str(path) for path in sorted(photos.iterdir())])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    channels = page.evaluate("getComputedStyle(document.body).backgroundColor").removeprefix("rgb(").rstrip(")")
    assert (sum(map(int, channels.split(","))) < 200) == (scheme == "dark")
    page.close()


def test_another_site_cannot_send_photos_here(browser, url):
    page = browser.new_page()
    page.route(
        "http://evil.example/",
        lambda route: route.fulfill(
            content_type="text/html",
            body=f"""
        <form method=post action="{url}" enctype=multipart/form-data><input name=photos value=x><button>go</button></form>""",
        ),
    )
    page.goto("http://evil.example/")
    with page.expect_response(url) as answer:
        page.get_by_text("go").click()
    assert answer.value.status == 403
    page.close()
