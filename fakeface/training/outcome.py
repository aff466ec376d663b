"""The result of a training: the figures of the kept epoch, doubts about it, and its cost."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from fakeface.core.files import write_json
from fakeface.detector.calibration import best_threshold, doubts, fit_temperature, scores_from_logits
from fakeface.images.store import Dataset
from fakeface.training.resume import Progress

EARLIER = 20  # models whose cost is kept in addition to the last one's


def final_metrics(result: Progress, dataset: Dataset) -> tuple[dict[str, float], dict[str, Any]]:
    """The figures of the epoch kept, and the threshold and temperature that val gives; what val doubts (`calibration.doubts`)."""
    best, logits, val = result.history[result.best_epoch - 1], result.best_logits.numpy(), dataset.rows("val")
    labels, source = dataset.labels[val], dataset.manifest["source"].to_numpy(dtype=str)[val]
    temperature = fit_temperature(labels, logits)
    scores = scores_from_logits(logits, temperature)
    threshold = best_threshold(labels, scores)
    metrics = {key: value for key, value in best.items() if key not in ("epoch", "lr")}
    metrics |= {"best_epoch": result.best_epoch, "epochs": len(result.history)}
    return metrics | {"threshold": threshold, "temperature": temperature}, doubts(labels, scores, threshold, source)


def keep_cost(path: Path | str, model_sha256: str, seconds: float, epochs: int, machine: str) -> None:
    """Writes what a training cost: {"model_sha256", "minutes", "epochs", "machine"}, and the same of `earlier` models in a list.

    The first measurement of a model counts. So the file is in git and no output of DVC's: whoever trains the same model again,
    also after others, which never takes the same time, has the same minutes, and the report that shows them the same bytes.
    """
    known: list[dict[str, Any]] = []
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):  # none yet, or edited
        last = json.loads(Path(path).read_text(encoding="utf-8"))
        earlier = last.pop("earlier", [])
        known = [one for one in (last, *earlier) if one["model_sha256"]]
    cost = {"model_sha256": model_sha256, "minutes": round(seconds / 60, 1), "epochs": epochs, "machine": machine}
    same = [one for one in known if one["model_sha256"] == model_sha256]
    others = [one for one in known if one not in same][:EARLIER]
    write_json(path, (same or [cost])[0] | ({"earlier": others} if others else {}))
