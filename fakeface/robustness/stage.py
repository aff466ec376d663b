"""The stage `robustness`: scores perturbed test images, block by block."""

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from tqdm import tqdm

from fakeface.core.errors import UserError
from fakeface.core.files import write_csv, write_json, write_text
from fakeface.core.params import APPROACHES, Params
from fakeface.core.perturbations import CELLS, KINDS, Cell
from fakeface.detector.device import configure
from fakeface.detector.predictor import load_all
from fakeface.images import degrade
from fakeface.images.store import Dataset
from fakeface.robustness.table import FIGURES, broken, choose_images, markdown, worst_cases
from fakeface.scoring import figures, metrics

BLOCK = 64  # images in memory at a time
STEPS: dict[str, Callable[..., np.ndarray]] = {"jpeg": degrade.jpeg, "blur": degrade.blur, "resize": degrade.resize}


def robustness(params: Params) -> None:
    base, p = params.base, params.robustness
    compute = configure(base.seed, base.threads, base.device, base.precision)
    dataset = Dataset.open()
    test = dataset.rows("test")
    sources = dataset.manifest["source"].to_numpy(dtype=str)
    rows = test[choose_images(dataset.labels[test], sources[test], p.images, base.seed)]
    labels, digests = dataset.labels[rows], dataset.manifest["sha256"].to_numpy(dtype=str)
    predictors = load_all(APPROACHES, dataset.data_hash, compute)

    found: list[dict[str, object]] = []
    examples: dict[str, np.ndarray] = {}
    for cell in tqdm(CELLS, unit="perturbation", desc="robustness", disable=None):
        parts: dict[str, list[np.ndarray]] = {name: [] for name in APPROACHES}
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            pixels = perturb(dataset.pixels[block], cell, digests[block].tolist(), base.seed, base.threads)
            if start == 0:
                examples[cell.name] = pixels[0]
            for name, predictor in predictors.items():
                parts[name].append(predictor.scores(pixels, np.arange(len(block))))
        for name, predictor in predictors.items():
            figure = metrics.evaluate(labels, np.concatenate(parts[name]), predictor.card["threshold"])
            found.append({"approach": name, "cell": cell.name} | {key: figure[key] for key in FIGURES})
    # an approach after the other, each with its cells in the order of the protocol
    table = pd.concat([rows for _, rows in pd.DataFrame(found).groupby("approach", sort=False)])
    results = worst_cases(table)
    for name, predictor in predictors.items():
        results[name]["model_sha256"] = predictor.card["sha256"]

    pictures = {kind: figures.perturbation_curves(table, kind) for kind in KINDS}
    figures.save("reports/robustness/figures", pictures | {"examples": figures.perturbed_examples(examples)})
    write_csv("reports/robustness/table.csv", table)
    write_text("reports/robustness/table.md", markdown(table))
    write_json("reports/robustness/metrics.json", results)
    for name, row in results.items():
        a = row["accuracy"]
        print(f"{name:10} clean {a['clean']:.4f}  mean {a['mean']:.4f}  worst {a['worst']:.4f} ({a['worst_cell']})")
    excess = broken(table, p.budget)
    if excess:
        more = f" (and {len(excess) - 1} more)" if len(excess) > 1 else ""
        raise UserError(
            f"params.yaml: robustness.budget is broken: {excess[0]}{more}; train with augment: robust, or allow more; "
            "figures: reports/robustness/table.md"
        )


def perturb(pixels: np.ndarray, cell: Cell, keys: Sequence[str], seed: int, threads: int = 1) -> np.ndarray:
    """All images of both classes through one cell.

    Args:
        pixels: uint8 [N, 3, S, S], whole images as they lie in the store, before any crop.
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
