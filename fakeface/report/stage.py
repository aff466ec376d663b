"""The stage `report`: reads what all other stages wrote, and fills the page."""

import io
from pathlib import Path

from ruamel.yaml import YAML

from fakeface.core.errors import UserError
from fakeface.core.files import write_text
from fakeface.core.params import APPROACHES, Params
from fakeface.images.store import Dataset
from fakeface.pages.render import file_uri, images_uri, render
from fakeface.report import generators, view
from fakeface.report.limits import limits
from fakeface.report.results import read

WIDTH = 1000  # pixels of a picture, at most
THUMBNAIL = 112
HARDEST = 6  # errors of each approach on the page; all are on the page of `explain`


def report(params: Params) -> None:
    # what shapes no result, such as base.tracking, would only make the page another one
    shown = {name: section.model_dump(exclude={"tracking"}) for name, section in params if name != "registry"}
    text = io.StringIO()
    YAML().dump(shown, text)
    try:
        found = read(shown)
        pictures = {
            f"{folder}/{path.stem}": file_uri(path, WIDTH)
            for folder in ("evaluate", "robustness", "explain")
            for path in sorted(Path("reports", folder, "figures").iterdir())
            if path.suffix in (".png", ".jpg")
        }
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: is missing; run `dvc repro report`, which makes it first") from None

    answer = view.answer(found)
    drawings = bool(found.cards[answer["best"]].get("drawings"))
    errors = view.errors(found.errors, list(APPROACHES), HARDEST)
    dataset = Dataset.open()
    row = {path: number for number, path in enumerate(dataset.manifest["path"])}
    for rows in errors["rows"]:
        for image in rows["hardest"]:
            image["uri"] = images_uri([dataset.pixels[row[image["path"]]]], THUMBNAIL)

    html = render(
        "fakeface.report",
        "report.html",
        answer=answer,
        audit=view.audit(found),
        comparison=view.comparison(found),
        robustness=view.robustness(found),
        errors=errors,
        cross=generators.cross_table(found),
        left_out=generators.leave_out(found.leave_out),
        limits=limits(answer["best"], drawings, shown, found.split, found.figures, found.cells, found.seeds["seeds"]),
        pictures=pictures,
        results=found,
        sample=drawings,
        photos=int(found.pairs["photos"].iloc[0]),
        parameters=text.getvalue(),
    )
    write_text("reports/index.html", html)
    said = (
        f"{'no better than guessing, ' * answer['guessing']}{answer['accuracy']['value']} % balanced accuracy on test"
    )
    print(f"{answer['best']}: {said}; reports/index.html, {len(html) // 1000} kB")
