"""The stage `variants`: the further trainings side by side with the pipeline's own."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from fakeface.core.errors import UserError
from fakeface.core.files import write_json, write_text
from fakeface.core.params import APPROACHES, Params
from fakeface.images.store import Dataset
from fakeface.variants import leak, seeds


def summarise_variants(params: Params) -> None:
    """Writes the tables of evaluate.seeds and evaluate.leak, which say so where no variant was asked for.

    Raises:
        UserError: an output of another stage is missing.
    """
    base, p = params.base, params.evaluate
    wanted = {f"{name}/seed-{seed}" for name in APPROACHES for seed in p.seeds} | {f"{name}/leak" for name in p.leak}
    for folder in sorted(Path("reports/evaluate/variants").glob("*/*/")):
        if folder.relative_to("reports/evaluate/variants").as_posix() not in wanted:
            print(
                f"note: {folder} is of a variant that params.yaml does not ask for; delete it, or another clone's lock differs"
            )
    try:
        own = json.loads(Path("reports/evaluate/metrics.json").read_text(encoding="utf-8"))
        accuracies = {
            name: [own[name]["accuracy"], *(_accuracy(name, seed) for seed in p.seeds)] for name in APPROACHES
        }
        found = {}
        for name in p.leak:
            ungrouped = read_scores(f"reports/evaluate/variants/{name}/leak/predictions.csv")
            found[name] = leak.compare(_own_scores(name), ungrouped, resamples=p.resamples, seed=base.seed)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; run `dvc repro variants`") from None
    photos = {
        name: (own[name]["accuracy_low"], own[name]["accuracy_high"]) if "accuracy_low" in own[name] else None
        for name in APPROACHES
    }
    _write("seeds", seeds.seed_metrics(accuracies), seeds.markdown(accuracies, [base.seed, *p.seeds], photos))
    nothing = "evaluate.leak names no approach: nothing was trained under split.group_by: none.\n"
    _write("leak", found, leak.markdown(found) if found else nothing)


def _accuracy(approach: str, seed: int) -> float:
    text = Path(f"reports/evaluate/variants/{approach}/seed-{seed}/metrics.json").read_text(encoding="utf-8")
    return float(json.loads(text)["accuracy"])


def read_scores(path: Path | str) -> pd.DataFrame:
    """What `train.score_test_images` gave; names of photos are text, also where they look like numbers or like nothing."""
    return pd.read_csv(path, dtype={"path": str, "source": str}, keep_default_na=False)


def _own_scores(approach: str) -> pd.DataFrame:
    """The pipeline's own scores of the test images, as `train.score_test_images` has them."""
    manifest = Dataset.open().manifest
    predictions = pd.read_csv("reports/evaluate/predictions.csv", dtype={"path": str})
    table = predictions[predictions["split"] == "test"].merge(manifest[["path", "source"]], on="path", validate="1:1")
    in_train = table["source"].isin(manifest.loc[manifest["split"] == "train", "source"])
    return table.assign(in_train=in_train, score=table[f"score_{approach}"])[
        ["path", "label", "source", "in_train", "score"]
    ]


def _write(name: str, figures: dict[str, Any], table: str) -> None:
    write_json(f"reports/{name}/{name}.json", figures)
    write_text(f"reports/{name}/table.md", table)
    print(table)
