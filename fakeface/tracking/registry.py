"""The registered model `fakeface`: its versions are detectors of this project, its alias `champion` the one to use.

Val alone decides. A version comes from the working tree's dvc.lock only, never from an experiment or a past commit: what a sweep
tried becomes a version when somebody applies it and publishes.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from fakeface.core.errors import UserError
from fakeface.core.params import APPROACHES
from fakeface.report.results import best_on_val
from fakeface.tracking.package import save_detector

NAME = "fakeface"
CHAMPION = "champion"


def register_best(client: Any, experiment: str, margin: float) -> str:
    """Makes the best approach of `models/` by val accuracy a version, and the champion if it beats the present one.

    Args:
        margin: by how much its val accuracy must be above the champion's (0.01 is one point). Both must have been measured on
            the same val images.

    Returns:
        What was done, in a line.
    """
    cards = {name: json.loads(Path("models", name, "card.json").read_text(encoding="utf-8")) for name in APPROACHES}
    best = best_on_val(cards)
    card = cards[best]
    runs = client.search_runs(
        [experiment], f"tags.model_sha256 = '{card['sha256']}' and attributes.status = 'FINISHED'"
    )
    if not runs:
        return f"{best} is the best on val, but has no whole run to be registered from"
    if not client.search_registered_models(f"name = '{NAME}'"):
        client.create_registered_model(NAME, description="Real (0) or fake (1) faces; score = probability of fake")
    versions = client.search_model_versions(f"name = '{NAME}'")
    known = [v for v in versions if v.tags.get("model_sha256") == card["sha256"]]
    version = known[0] if known else _register(client, runs[0].info.run_id, best, card)
    crowned = client.get_registered_model(NAME).aliases.get(CHAMPION)
    said = f"version {version.version} ({best}, val accuracy {card['metrics']['val_accuracy']:.4f})"
    if crowned == version.version:
        return f"{said} is the champion"
    if crowned:
        champion = client.get_model_version(NAME, crowned)
        if champion.tags.get("data_hash") != card["data_hash"]:
            return (
                f"{said} was not compared with the champion, version {champion.version}: their val images differ; "
                f"`fakeface promote {version.version}` makes it the champion"
            )
        before = float(champion.tags["val_accuracy"])
        if not card["metrics"]["val_accuracy"] > before + margin:
            return (
                f"{said} does not beat the champion, version {champion.version} ({before:.4f}), by more than {margin:g}"
            )
    client.set_registered_model_alias(NAME, CHAMPION, version.version)
    return f"{said} is the new champion"


def promote(client: Any, version: str) -> None:
    """Makes a version the champion, whatever it scored. Raises UserError when there is none of that number."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_model_version(NAME, version)
    except MlflowException:
        numbers = sorted(int(v.version) for v in client.search_model_versions(f"name = '{NAME}'"))
        allowed = ", ".join(map(str, numbers)) or "none yet: run `fakeface publish`"
        raise UserError(f"{NAME} has no version {version}; it has {allowed}") from None
    client.set_registered_model_alias(NAME, CHAMPION, version)


def _register(client: Any, run_id: str, approach: str, card: dict[str, Any]) -> Any:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "detector")
        save_detector(folder, Path("models", approach), card)
        client.log_artifacts(run_id, str(folder), "detector")
    tags = {
        "approach": approach,
        "model_sha256": card["sha256"],
        "data_hash": card["data_hash"],
        "val_accuracy": repr(card["metrics"]["val_accuracy"]),
    }
    source = f"{client.get_run(run_id).info.artifact_uri}/detector"
    return client.create_model_version(NAME, source, run_id, tags=tags, description=f"{approach}, chosen on val")
