"""The stage `report`: reads what all other stages wrote, and fills the page."""

import hashlib
import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from fakeface.core.errors import UserError
from fakeface.core.files import write_text
from fakeface.core.params import APPROACHES, Params
from fakeface.images.store import Dataset
from fakeface.pages.render import file_uri, images_uri, render
from fakeface.report import limits, results

WIDTH = 1000  # pixels of a picture, at most
THUMBNAIL = 112
HARDEST = 6  # errors of each approach on the page; all are on the page of `explain`


def report(params: Params) -> None:
    def load(path: str) -> Any:
        return json.loads(Path(path).read_text(encoding="utf-8"))

    def table(path: str) -> pd.DataFrame:
        return pd.read_csv(path, dtype={"path": str})

    # what shapes no result, such as base.tracking, would only make the page another one
    shown = {name: section.model_dump(exclude={"tracking"}) for name, section in params if name != "registry"}
    text = io.StringIO()
    YAML().dump(shown, text)
    try:
        cards = {name: load(f"models/{name}/card.json") for name in APPROACHES}
        costs: dict[str, dict[str, Any] | None] = dict.fromkeys(APPROACHES)
        for name in APPROACHES:
            with suppress(OSError, ValueError, TypeError, KeyError):  # none, or edited
                cost = load(f"reports/cost/{name}.json")
                costs[name] = cost if cost["model_sha256"] == cards[name]["sha256"] else None
        found = results.Results(
            params=shown,
            cards=cards,
            costs=costs,
            figures=table("reports/evaluate/figures.csv"),
            pairs=table("reports/evaluate/pairs.csv"),
            split=load("reports/split/summary.json"),
            audit=load("reports/audit/audit.json"),
            cells=table("reports/robustness/table.csv"),
            robustness=load("reports/robustness/metrics.json"),
            errors=table("reports/explain/errors.csv"),
            seeds=load("reports/seeds/seeds.json"),
            leak=load("reports/leak/leak.json"),
        )
        pictures = {
            f"{folder}/{path.stem}": file_uri(path, WIDTH)
            for folder in ("evaluate", "robustness", "explain")
            for path in sorted(Path("reports", folder, "figures").iterdir())
            if path.suffix in (".png", ".jpg")
        }
        # what DVC writes into dvc.lock; found there, it names the commit
        digest = hashlib.md5(Path("reports/evaluate/metrics.json").read_bytes(), usedforsecurity=False).hexdigest()
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: is not there; run `dvc repro report`, which makes it first") from None

    answer = results.answer(found)
    errors = results.errors(found.errors, list(APPROACHES), HARDEST)
    dataset = Dataset.open()
    row = {path: number for number, path in enumerate(dataset.manifest["path"])}
    for rows in errors["rows"]:
        for image in rows["hardest"]:
            image["uri"] = images_uri([dataset.pixels[row[image["path"]]]], THUMBNAIL)

    html = render(
        "fakeface.report",
        "report.html",
        answer=answer,
        audit=results.audit(found),
        comparison=results.comparison(found),
        curves=results.curves(found),
        robustness=results.robustness(found),
        errors=errors,
        limits=limits.limits(found, answer["best"]),
        pictures=pictures,
        results=found,
        sample=found.params["split"]["data"] == limits.SAMPLE,
        photos=int(found.pairs["photos"].iloc[0]),
        metrics_md5=digest,
        parameters=text.getvalue(),
    )
    write_text("reports/index.html", html)
    print(f"{answer['best']}: {answer['accuracy']['value']} % on test; reports/index.html, {len(html) // 1000} kB")
