"""One page with everything that was found: which approach, how good, how sure, at what cost, and what it does not say.

Reads   the reports of all other stages, models/*/card.json, data/split (pictures of errors) and params.yaml;
        reports/<approach>/cost.json where it is about this very model
Writes  reports/index.html: one file, nothing fetched
Takes   about 3 s
"""

from fakeface.errors import run
from fakeface.params import APPROACHES, load_params

WIDTH = 1000  # pixels of a picture, at most
THUMBNAIL = 112
HARDEST = 6  # errors of each approach on the page; all are on the page of `explain`


def report() -> None:
    params = load_params()  # before the heavy imports: a wrong value is answered at once

    import hashlib
    import io
    import json
    from contextlib import suppress
    from pathlib import Path
    from typing import Any

    import pandas as pd
    from ruamel.yaml import YAML

    from fakeface.data.store import Dataset
    from fakeface.errors import UserError
    from fakeface.evaluation import limits, report
    from fakeface.evaluation.page import file_uri, images_uri, render
    from fakeface.files import write_text

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
                cost = load(f"reports/{name}/cost.json")
                costs[name] = cost if cost["model_sha256"] == cards[name]["sha256"] else None
        results = report.Results(
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

    answer = report.answer(results)
    errors = report.errors(results.errors, list(APPROACHES), HARDEST)
    dataset = Dataset.open()
    row = {path: number for number, path in enumerate(dataset.manifest["path"])}
    for found in errors["rows"]:
        for image in found["hardest"]:
            image["uri"] = images_uri([dataset.pixels[row[image["path"]]]], THUMBNAIL)

    html = render(
        "report.html",
        answer=answer,
        audit=report.audit(results),
        comparison=report.comparison(results),
        curves=report.curves(results),
        robustness=report.robustness(results),
        errors=errors,
        limits=limits.limits(results, answer["best"]),
        pictures=pictures,
        results=results,
        sample=results.params["split"]["data"] == limits.SAMPLE,
        photos=int(results.pairs["photos"].iloc[0]),
        metrics_md5=digest,
        parameters=text.getvalue(),
    )
    write_text("reports/index.html", html)
    print(f"{answer['best']}: {answer['accuracy']['value']} % on test; reports/index.html, {len(html) // 1000} kB")


if __name__ == "__main__":
    run(report, __doc__)
