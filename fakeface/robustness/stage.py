"""The stage `robustness`: scores perturbed test images, block by block."""

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from fakeface.core.errors import UserError
from fakeface.core.files import write_csv, write_json, write_text
from fakeface.core.params import APPROACHES, Params
from fakeface.core.perturbations import CELLS, KINDS, Cell
from fakeface.core.progress import progress
from fakeface.detector.device import configure
from fakeface.detector.predictor import load_all
from fakeface.images import degrade
from fakeface.images.store import Dataset
from fakeface.robustness.table import FIGURES, VERDICTS, broken, choose_images, markdown, worst_cases
from fakeface.scoring import figures, metrics
from fakeface.scoring import folders as by_folder
from fakeface.scoring.intervals import bootstrap, interval

BLOCK = 64  # images in memory at a time
STEPS: dict[str, Callable[..., np.ndarray]] = {"jpeg": degrade.jpeg, "blur": degrade.blur, "resize": degrade.resize}
RESAMPLES = 1000  # behind each cell's interval


def robustness(params: Params) -> None:
    base, p = params.base, params.robustness
    compute = configure(base.seed, base.threads, base.device, base.precision)
    dataset = Dataset.open()
    test = dataset.rows("test")
    sources = dataset.manifest["source"].to_numpy(dtype=str)
    rows = test[choose_images(dataset.labels[test], sources[test], p.images, base.seed)]
    labels, digests = dataset.labels[rows], dataset.manifest["sha256"].to_numpy(dtype=str)
    source, folders = sources[rows], by_folder.sub_folders(dataset.manifest["path"].tolist(), dataset.labels)[rows]
    predictors = load_all(APPROACHES, dataset.data_hash, compute)
    thresholds = {name: predictor.card["threshold"] for name, predictor in predictors.items()}

    found: list[dict[str, object]] = []
    of_folders: by_folder.Rows = {}
    examples: dict[str, np.ndarray] = {}
    for cell in progress(CELLS, len(CELLS), "robustness", "perturbation"):
        parts: dict[str, list[np.ndarray]] = {name: [] for name in APPROACHES}
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            pixels = perturb(dataset.pixels[block], cell, digests[block].tolist(), base.seed, base.threads)
            if start == 0:
                examples[cell.name] = pixels[0]
            for name, predictor in predictors.items():
                parts[name].append(predictor.scores(pixels, np.arange(len(block))))
        scores = {name: np.concatenate(part) for name, part in parts.items()}
        drawn = bootstrap(labels, scores, thresholds, source, resamples=RESAMPLES, seed=base.seed)
        for name, values in scores.items():
            figure = metrics.evaluate(labels, values, thresholds[name])
            span = interval(VERDICTS, drawn[name][VERDICTS], labels, source) or (np.nan, np.nan)
            ends: dict[str, object] = {"low": round(span[0], 6), "high": round(span[1], 6), "images": len(rows)}
            found.append({"approach": name, "cell": cell.name} | {key: figure[key] for key in FIGURES} | ends)
        again = by_folder.by_folder(folders, labels, scores, thresholds, source, resamples=RESAMPLES, seed=base.seed)
        of_folders |= {f"{folder}, {cell.name}": row for folder, row in again.items()}
    # an approach after the other, each with its cells in the order of the protocol
    table = pd.concat([rows for _, rows in pd.DataFrame(found).groupby("approach", sort=False)])
    results = worst_cases(table)
    for name, predictor in predictors.items():
        results[name]["model_sha256"] = predictor.card["sha256"]

    pictures = {kind: figures.perturbation_curves(table, kind) for kind in KINDS}
    figures.save("reports/robustness/figures", pictures | {"examples": figures.perturbed_examples(examples)})
    write_csv("reports/robustness/table.csv", table)
    by = dict(sorted(of_folders.items(), key=lambda item: item[0].rpartition(", ")[0]))  # cells in their order
    counts = [int((labels == label).sum()) for label in (0, 1)]
    text = (
        f"Balanced accuracy in % at the val threshold, in brackets 95 % intervals, on {counts[0]} reals and {counts[1]} fakes "
        f"of the {len(test)} test images{'' if len(rows) == len(test) else ', so figures differ from those on all of them'}.\n\n"
    )
    write_text("reports/robustness/table.md", text + markdown(table) + by_folder.markdown(by, APPROACHES))
    write_json("reports/robustness/metrics.json", results | ({"by_folder": by} if by else {}))
    for name, row in results.items():
        a = row[VERDICTS]
        print(f"{name:10} clean {a['clean']:.4f}  mean {a['mean']:.4f}  worst {a['worst']:.4f} ({a['worst_cell']})")
    excess = broken(table, p.budget)
    if excess:
        more = f" (and {len(excess) - 1} more)" if len(excess) > 1 else ""
        raise UserError(
            f"params.yaml: robustness.budget is exceeded: {excess[0]}{more}; train with augment: robust, or raise it; "
            "figures: reports/robustness/table.md"
        )


def perturb(pixels: np.ndarray, cell: Cell, keys: Sequence[str], seed: int, threads: int = 1) -> np.ndarray:
    """All images of both classes through one cell.

    Args:
        pixels: uint8 [N, 3, S, S], whole images as they are in the store, before any crop.
        keys: a name for each image, such as its sha256: with `seed` and the cell it fixes the noise.

    Returns:
        uint8 [N, 3, S, S].
    """

    def change(i: int, image: np.ndarray) -> np.ndarray:
        for kind, strength in cell.steps:
            if kind == "noise":
                stream = [seed, *(zlib.crc32(name.encode()) for name in (cell.name, keys[i]))]
                image = degrade.noise(image, strength, np.random.default_rng(stream))
            else:
                image = STEPS[kind](image, strength)
        return image

    return degrade.each(pixels, change, threads)
