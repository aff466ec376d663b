"""The page as a Flask application: what may be sent, who may send it, and what it shows.

Bound to this machine alone, and still careful: another site in the same browser can send requests here too. So the Host header
must name this machine (DNS rebinding), a post must come from this page (Origin), and the page may load only its own style
and script (Content-Security-Policy). Uploads stay in memory until they are answered.
"""

import io
import threading
from collections import Counter
from typing import Any

import jinja2
from flask import Flask, Request, Response, render_template, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from fakeface.detector.predictor import Predictor
from fakeface.images.decode import MAX_BYTES
from fakeface.images.faces import trained_on_faces
from fakeface.pages.render import loader
from fakeface.predict.facts import Facts
from fakeface.predict.squares import MAX_MEGAPIXELS
from fakeface.predict.web.answers import Answer, answers

MAX_FILES = 50
MAX_TOTAL = 200_000_000  # bytes of all files together
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Upload(Request):
    """Files in memory; Flask's own way writes those above 500 kB to the disk."""

    def _get_file_stream(self, *_: Any, **__: Any) -> Any:
        return io.BytesIO()


class Page(Flask):
    request_class = Upload


def make_app(predictor: Predictor, facts: Facts, max_megapixels: float = MAX_MEGAPIXELS) -> Flask:
    """The application. `facts`: what the page says of the detector."""
    app = Page(__name__, static_folder="static", static_url_path="")
    app.config.update(
        TRUSTED_HOSTS=["127.0.0.1", "localhost"], MAX_CONTENT_LENGTH=MAX_TOTAL + 100_000, MAX_FORM_PARTS=MAX_FILES + 1
    )
    app.jinja_env.loader = loader("fakeface.predict.web")
    app.jinja_env.undefined = jinja2.StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    one_at_a_time = threading.Lock()

    def show(found: list[Answer], says: str = "", status: int = 200) -> tuple[str, int]:
        page = render_template(
            "web.html",
            found=found,
            says=says,
            counts=Counter(one.verdict for one in found),
            card=predictor.card,
            facts=facts,
            on_faces=trained_on_faces(predictor.card),
            max_files=MAX_FILES,
            max_total=MAX_TOTAL,
            max_bytes=MAX_BYTES,
        )
        return page, status

    @app.get("/")
    def ask() -> tuple[str, int]:
        return show([])

    @app.post("/")
    def upload() -> tuple[str, int]:
        if not _from_this_page():
            return show([], "Refused: this was sent by another page. Use the form here.", 403)
        # before the form is read: it bounds the memory to one request's files
        if not one_at_a_time.acquire(timeout=60):
            return show([], "Busy with other pictures; try again in a moment.", 503)
        try:
            sent = [file for file in request.files.getlist("photos") if file.filename]
            if len(sent) > MAX_FILES:
                raise RequestEntityTooLarge
            if not sent:
                return show([], "No photo was chosen.", 400)
            photos = [(file.filename or "", file.read()) for file in sent]
            return show(answers(predictor, photos, "whole" in request.form, max_megapixels))
        finally:
            one_at_a_time.release()

    @app.get("/page.css")
    def style() -> Response:
        return Response(render_template("page.css") + render_template("web.css"), mimetype="text/css")

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(_: RequestEntityTooLarge) -> tuple[str, int]:
        return show([], f"Too much at once: at most {MAX_FILES} photos and {MAX_TOTAL // 1_000_000} MB together.", 413)

    @app.errorhandler(HTTPException)
    def other(error: HTTPException) -> tuple[str, int, dict[str, str]]:
        return f"{error.code} {error.name}\n", error.code or 500, {"Content-Type": "text/plain; charset=utf-8"}

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response

    return app


def _from_this_page() -> bool:
    """Browsers name the page that posts in Origin, and newer ones its kinship in Sec-Fetch-Site; programs name neither."""
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    return origin in (None, f"http://{request.host}") and site in ("same-origin", "none")
