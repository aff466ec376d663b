"""Report pages: one self-contained HTML file from a template, pictures inside, nothing fetched, nothing run."""

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from PIL import Image

if TYPE_CHECKING:  # `fakeface web` draws no figure, and waits 0.3 s less
    from matplotlib.figure import Figure

CLASS_COLOURS = {"real": "#0072b2", "fake": "#d55e00"}  # Okabe and Ito: told apart by all eyes


def loader(package: str) -> jinja2.BaseLoader:
    """The templates of `package`, which extend `page.html`, the frame of all pages, with the style `page.css` in it."""
    return jinja2.ChoiceLoader([jinja2.PackageLoader(name, "templates") for name in (package, "fakeface.pages")])


def render(package: str, template: str, **values: Any) -> str:
    """Fills `templates/<template>` of a package; every value is escaped. The same values give the same text."""
    environment = jinja2.Environment(
        loader=loader(package), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(**values) + "\n"


def figure_jpeg(figure: "Figure") -> bytes:
    """A figure as JPEG, 110 dpi, full chroma: a map of many colours in a third of PNG's bytes."""
    drawn, file = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    with Image.open(drawn) as image:
        image.convert("RGB").save(file, "JPEG", quality=88, subsampling="4:4:4")
    return file.getvalue()


def figure_uri(figure: "Figure") -> str:
    """`figure_jpeg` as a data URI."""
    return _uri(figure_jpeg(figure))


def file_uri(path: Path | str, width: int) -> str:
    """A picture's file as a JPEG data URI, at most `width` pixels wide."""
    file = io.BytesIO()
    with Image.open(path) as image:
        small = image.convert("RGB")
        if image.width > width:
            small = small.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
        small.save(file, "JPEG", quality=80, subsampling="4:4:4")
    return _uri(file.getvalue())


def images_uri(images: list[np.ndarray], height: int) -> str:
    """Images uint8 [3, S, S] side by side, scaled to `height` pixels, as one JPEG data URI."""
    strip = Image.new("RGB", (height * len(images), height))
    for k, image in enumerate(images):
        small = Image.fromarray(image.transpose(1, 2, 0)).resize((height, height), Image.Resampling.LANCZOS)
        strip.paste(small, (k * height, 0))
    file = io.BytesIO()
    strip.save(file, "JPEG", quality=80)
    return _uri(file.getvalue())


def _uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
