"""The stage `variants`: the further trainings side by side with the pipeline's own."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fakeface.core.errors import UserError
from fakeface.core.files import read_json, write_json
from fakeface.core.params import APPROACHES, Params
from fakeface.images.store import Dataset
from fakeface.variants.leak import compare


def summarise_variants(params: Params) -> None:
    """Writes the figures of evaluate.seeds and evaluate.leak; the report shows them.

    Raises:
        UserError: an output of another stage is missing.
    """
    base, p = params.base, params.evaluate
    wanted = {f"{name}/seed-{seed}" for name in APPROACHES for seed in p.seeds} | {f"{name}/leak" for name in p.leak}
    for folder in sorted(Path("reports/variants").glob("*/*/")):
        if folder.relative_to("reports/variants").as_posix() not in wanted:
            print(
                f"note: {folder} is of a variant that params.yaml does not ask for; delete it, or another clone's lock differs"
            )
    try:
        own = read_json("reports/evaluate/metrics.json")
        accuracies = {
            name: [own[name]["accuracy"], *(_accuracy(name, seed) for seed in p.seeds)] for name in APPROACHES
        }
        found = {}
        for name in p.leak:
            ungrouped = read_scores(f"reports/variants/{name}/leak/predictions.csv")
            found[name] = compare(_own_scores(name), ungrouped, resamples=p.resamples, seed=base.seed)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; run `dvc repro variants`") from None
    write_json("reports/seeds/seeds.json", seed_metrics(accuracies))
    write_json("reports/leak/leak.json", found)
    print(
        f"{1 + len(p.seeds)} trainings of each approach, {len(p.leak)} on a random split; reports/index.html shows them"
    )


def seed_metrics(accuracies: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The number of seeds, and for each approach its accuracies with their mean and sample standard deviation.

    Args:
        accuracies: approach -> accuracy at 0.5 of each training on the same test images, in the order of the seeds. One alone
            has no deviation (n - 1 in the denominator).
    """
    approaches = {}
    for name, values in accuracies.items():
        sd = round(statistics.stdev(values), 6) if len(values) > 1 else None
        approaches[name] = {"accuracy": list(values), "mean": round(statistics.mean(values), 6), "sd": sd}
    return {"seeds": len(next(iter(accuracies.values()))), "approaches": approaches}


def _accuracy(approach: str, seed: int) -> float:
    return float(read_json(f"reports/variants/{approach}/seed-{seed}/metrics.json")["accuracy"])


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
