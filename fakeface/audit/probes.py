"""Shortcut probes: how well simple classifiers tell real from fake by what a detector should not need.

Each probe is cross-validated in folds that keep the images of one photo together. Its figure is the balanced accuracy of
the predictions on the left-out folds, with a 95 % interval by the bootstrap of photos (`intervals`). The interval takes the
predictions as given: it holds no variance of the training itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fakeface.scoring.intervals import bootstrap, interval

RESAMPLES = 1000
TREES = 100
MOST_IMAGES = 10_000  # of a class that are probed: more of them take time, and tell the same to half a point
LEAST_FAKES, MOST_GENERATORS = 20, 10  # images of a generator, and generators, that are probed one by one
LEAST_IMAGES = 5  # with one value of a fact, for it to become a feature; and in a leaf of a tree
# What the file's header says. The exact tables are listed in addition to the quality, which two tables may share.
CATEGORIES = ("format", "mode", "size", "quantization", "subsampling")


@dataclass(frozen=True)
class Probe:
    """Balanced accuracy and its 95 % interval, 0 to 1; None where there are too few photos to measure it."""

    accuracy: float | None
    low: float | None
    high: float | None

    def above(self, limit: float) -> bool:
        """Whether the whole interval lies above `limit`."""
        return self.low is not None and self.low > limit


def probed(labels: np.ndarray, seed: int) -> np.ndarray:
    """Which images are probed, int64, ascending: all of a class, or `MOST_IMAGES` drawn at random. Figures are balanced, so one
    class may have more than the other."""
    rng = np.random.default_rng(seed)
    return np.sort(np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:MOST_IMAGES] for c in (0, 1)]))


def apart(generators: np.ndarray, labels: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Each generator with the rows of its fakes and of all reals, int64; none where there are fewer than two, or so many
    sub-folders that they will be persons.

    Args:
        generators: str [N], empty for reals and for fakes outside of sub-folders; labels: int [N].
    """
    names, counts = np.unique(generators[(labels == 1) & (generators != "")].astype(str), return_counts=True)
    if not 2 <= len(names) <= MOST_GENERATORS:
        return
    for name in names[counts >= LEAST_FAKES].tolist():
        yield name, np.flatnonzero((labels == 0) | (generators == name))


def folds_by_source(labels: np.ndarray, source: np.ndarray, folds: int, seed: int) -> np.ndarray | None:
    """The fold of each image, int64 [N]: photos stay whole, classes are spread evenly.

    None where no two folds can be made that leave both classes to train on. Fewer photos than folds: fewer folds.
    """
    photos = min(len(np.unique(source[labels == c])) for c in (0, 1))
    if photos < 2:
        return None
    fold = np.empty(len(labels), dtype=np.int64)
    splitter = StratifiedGroupKFold(min(folds, photos), shuffle=True, random_state=seed)
    for k, (_, left_out) in enumerate(splitter.split(labels, labels, source)):
        fold[left_out] = k
    classes = [len(np.unique(labels[fold != k])) for k in np.unique(fold)]
    return fold if len(classes) > 1 and min(classes) == 2 else None


def linear() -> Any:
    """For pictures' features: standardised, then logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000))


def forest(seed: int) -> Any:
    """For facts about files: finds bands and combinations, where a line through the numbers would not."""
    return RandomForestClassifier(
        TREES, min_samples_leaf=LEAST_IMAGES, class_weight="balanced", random_state=seed, n_jobs=1
    )


def probe(
    classifier: Any, features: np.ndarray, labels: np.ndarray, source: np.ndarray, fold: np.ndarray | None, seed: int
) -> Probe:
    """Cross-validates one classifier of scikit-learn's kind, not fitted yet.

    Args:
        features: float [N, F]; constant columns do no harm.
        labels: int [N], 0 real, 1 fake.
        source: int [N], the photo of each image.
        fold: int [N] from `folds_by_source`, or None: not measured.
        seed: of the resampling.
    """
    if fold is None:
        return Probe(None, None, None)
    told = cross_val_predict(classifier, features, labels, cv=PredefinedSplit(fold))
    accuracy = np.mean([(told[labels == c] == c).mean() for c in (0, 1)])
    figures = bootstrap(labels, {"probe": told}, {"probe": 0.5}, source, resamples=RESAMPLES, seed=seed)["probe"]
    found = interval("balanced_accuracy", figures["balanced_accuracy"], labels, source)
    low, high = found or (accuracy, accuracy)  # one answer for all images: 0.5 in every resample
    return Probe(*(round(float(value), 4) for value in (accuracy, low, high)))


def metadata_features(facts: pd.DataFrame) -> np.ndarray:
    """What the headers say, without the file size: facts from `facts.read_facts` -> float64 [N, F].

    Numbers (width, height, pixels, aspect, quality) as they are; categories and traces one column a value.
    """
    width, height = facts["width"].to_numpy(float), facts["height"].to_numpy(float)
    columns = [width, height, width * height, width / height, facts["quality"].to_numpy(float)]
    for name in CATEGORIES:
        values = fact_values(facts, name)
        counts = values.value_counts()
        columns += [(values == value).to_numpy(float) for value in sorted(counts[counts >= LEAST_IMAGES].index)]
    traces = [set(text.split(", ")) - {""} for text in facts["traces"]]
    columns += [np.array([name in t for t in traces], dtype=float) for name in sorted(set[str]().union(*traces))]
    return np.stack(columns, axis=1)


def fact_values(facts: pd.DataFrame, name: str) -> pd.Series:
    """One fact as text, an image a value; `size` is width x height, `quality` is empty for what is no JPEG."""
    if name == "size":
        return facts["width"].astype(str) + " x " + facts["height"].astype(str)
    if name == "quality":
        return facts["quality"].astype(str).where(facts["quality"] > 0, "")
    return facts[name].astype(str)


def shares(facts: pd.DataFrame, name: str) -> pd.DataFrame:
    """How often each value of a fact is found in each class: index the value, columns `real` and `fake`, shares 0 to 1.

    Most frequent first; for `traces`, each trace by itself.
    """
    values = facts[["label"]].assign(value=fact_values(facts, name))
    if name == "traces":
        values["value"] = values["value"].str.split(", ")
        values = values.explode("value")
        values = values[values["value"] != ""]
    table = pd.crosstab(values["value"], values["label"]).reindex(columns=[0, 1], fill_value=0)
    table = table / [max(1, int((facts["label"] == c).sum())) for c in (0, 1)]
    table.columns = ["real", "fake"]
    return table.iloc[np.lexsort((table.index.to_numpy(dtype=str), -table.sum(axis=1).to_numpy()))]


def widest_gap(facts: pd.DataFrame) -> str:
    """Where the classes differ most, in words: `format (JPEG: 100 % of the reals, 0 % of the fakes)`."""
    best, gap = "no single property", 0.0
    for name in (*CATEGORIES, "quality", "traces"):
        table = shares(facts, name)
        for value, (real, fake) in zip(table.index, table.to_numpy().tolist(), strict=True):
            if abs(real - fake) <= gap + 1e-9:
                continue
            gap = abs(real - fake)
            best = f"{name} ({value or 'none'}: {real:.0%} of the reals, {fake:.0%} of the fakes)".replace("%", " %")
    return best
