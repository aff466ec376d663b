"""What a detector gets right and wrong on the test images: which ones to show, and the list of all errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakeface.core.errors import UserError, one_line
from fakeface.detector.networks import CLASSES
from fakeface.images.store import Dataset

# true class, class called: the order of the rows of a picture
GROUPS = (("fake", "fake"), ("fake", "real"), ("real", "real"), ("real", "fake"))
EXTREMES = ("hardest fake", "easiest fake", "hardest real", "easiest real")


@dataclass(frozen=True)
class Calls:
    """The test images as one approach calls them: fake where score >= threshold.

    `scores`: float64 [n], as in predictions.csv; `labels`: int64 [n], 0 real, 1 fake. All answers are places in these.
    """

    labels: np.ndarray
    scores: np.ndarray
    threshold: float

    @property
    def fake(self) -> np.ndarray:
        """Called fake: bool [n]."""
        return self.scores >= self.threshold

    @property
    def wrong(self) -> np.ndarray:
        """bool [n]."""
        return self.fake != (self.labels == 1)

    def groups(self) -> dict[tuple[str, str], np.ndarray]:
        """(true class, class called) of GROUPS -> places, the surest call first; among equals the order stays."""
        found = {}
        for true, called in GROUPS:
            members = (self.labels == CLASSES.index(true)) & (self.fake == (called == "fake"))
            order = np.argsort(-self.scores if called == "fake" else self.scores, kind="stable")
            found[true, called] = order[members[order]]
        return found

    def extremes(self, count: int) -> dict[str, np.ndarray]:
        """EXTREMES -> at most `count` places, the most extreme first: the easiest are scored nearest to the truth."""
        distance, found = np.abs(self.scores - self.labels), {}
        for name in EXTREMES:
            which, true = name.split()
            order = np.argsort(distance if which == "easiest" else -distance, kind="stable")
            found[name] = order[self.labels[order] == CLASSES.index(true)][:count]
        return found

    def errors(self) -> np.ndarray:
        """Places of all wrong calls, the score farthest from the truth first; among equals the order stays."""
        order = np.argsort(-np.abs(self.scores - self.labels), kind="stable")
        return order[self.wrong[order]]

    def counts(self) -> dict[str, Any]:
        """Threshold, number of errors and size of each group."""
        sizes = {f"{true}_called_{called}": len(places) for (true, called), places in self.groups().items()}
        return {"threshold": self.threshold, "errors": int(self.wrong.sum()), **sizes}


def read_test_scores(path: Path | str, dataset: Dataset, approaches: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The scores of the test images from `predictions.csv`: approach -> float64 [n], in the order of the manifest's test rows.

    Raises:
        UserError: the file is missing, damaged, or of another split.
    """
    remedy = "run `dvc repro evaluate`"
    try:
        table = pd.read_csv(path, dtype={"path": str}, keep_default_na=False)
        table = table[table["split"] == "test"]
        paths = table["path"].tolist()
        scores = {name: table[f"score_{name}"].to_numpy(dtype=np.float64) for name in approaches}
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    except KeyError as error:
        raise UserError(f"{path}: has no column {error.args[0]}; {remedy}") from None
    except ValueError as error:
        raise UserError(f"{path}: not readable as scores ({one_line(error)}); {remedy}") from None
    if paths != dataset.manifest["path"].to_numpy()[dataset.rows("test")].tolist():
        raise UserError(f"{path}: its test images differ from those of {dataset.folder}; {remedy}")
    if not all(((values >= 0) & (values <= 1)).all() for values in scores.values()):
        raise UserError(f"{path}: a score is not between 0 and 1; {remedy}")
    return scores


def evenly_spaced(places: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of them, evenly spread from the first to the last."""
    return places if len(places) <= count else places[np.linspace(0, len(places) - 1, count).round().astype(int)]


def error_table(paths: np.ndarray, calls: Mapping[str, Calls]) -> pd.DataFrame:
    """All wrong calls of all approaches: approach, path, label, score; approach by approach, in the order of `Calls.errors`."""
    parts = []
    for name, found in calls.items():
        places = found.errors()
        columns = {"path": paths[places], "label": found.labels[places], "score": found.scores[places]}
        parts.append(pd.DataFrame({"approach": name, **columns}))
    return pd.concat(parts, ignore_index=True)


def wrong_in_all(calls: Mapping[str, Calls]) -> np.ndarray:
    """Places that every approach gets wrong, the farthest from the truth over all of them first."""
    wrong = np.logical_and.reduce([found.wrong for found in calls.values()])
    distance = sum(np.abs(found.scores - found.labels) for found in calls.values())
    order = np.argsort(-distance, kind="stable")
    return order[wrong[order]]
