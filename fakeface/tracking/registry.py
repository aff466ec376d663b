"""The registered model `fakeface`: its versions are detectors of this project, its alias `champion` the one to use.

Val alone decides. A version comes from the working tree's dvc.lock only, never from an experiment or a past commit: what a sweep
tried becomes a version when somebody applies it and publishes. The champion's name is in git too (`KEPT`), so that a store
that is made again has the same one; version numbers and other versions are the store's own.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fakeface.core.errors import UserError, one_line
from fakeface.core.files import read_json, write_json
from fakeface.report.cards import best_on_val, val_accuracy
from fakeface.tracking.package import save_detector
from fakeface.tracking.store import address, import_mlflow, insist, opened, require_store

NAME = "fakeface"
CHAMPION = "champion"
KEPT = Path("reports/champion.json")  # approach, model_sha256, data_hash, val_accuracy, md5 of the champion


def register_best(client: Any, experiment: str, models: dict[str, Path], hashes: dict[str, str], margin: float) -> str:
    """Makes the best approach by val accuracy a version, and the champion if it beats the present one.

    Args:
        models: approach -> checkpoint folder, byte for byte the one of dvc.lock.
        hashes: approach -> that folder's hash in dvc.lock.
        margin: by how much its val accuracy must be above the champion's (0.01 is one point). Both must have been measured on
            the same val images; but a champion that knows drawings alone gives way to any detector that does not.

    Returns:
        What was done, in a line.
    """
    best = best_on_val({name: read_json(folder / "card.json") for name, folder in models.items()})
    version = register(client, experiment, models[best], hashes[best])
    if version is None:
        return f"{best} is the best on the validation set, but has no complete run to register"
    said = f"version {version.version} ({best}, val accuracy {float(version.tags['val_accuracy']):.4f})"
    now = champion(client)
    if now is None:
        crown(client, version)
        return f"{said} is the new champion"
    if now.version == version.version:
        return f"{said} is the champion"
    if now.tags.get("data_hash") != version.tags["data_hash"]:
        if (now.tags.get("drawings"), version.tags.get("drawings")) == ("True", "False"):
            crown(client, version)
            return f"{said} is the new champion: the one before, version {now.version}, was trained on drawings"
        if now.tags.get("guessing") == "True" and "guessing" not in version.tags:
            crown(client, version)
            return f"{said} is the new champion: the one before, version {now.version}, was no better than guessing"
        return (
            f"{said} was not compared with the champion, version {now.version}: their val images differ; "
            f"`fakeface promote {version.version}` makes it the champion"
        )
    before = float(now.tags["val_accuracy"])
    if not float(version.tags["val_accuracy"]) > before + margin:
        return f"{said} does not beat the champion, version {now.version} ({before:.4f}), by more than {margin:g}"
    crown(client, version)
    return f"{said} is the new champion"


def register(client: Any, experiment: str, model: Path, md5: str) -> Any:
    """The version of a checkpoint folder, made if need be; None where it has no whole run.

    Of two that are made at the same moment the one with the lower number stays: a server gives them in the order of their making.
    """
    from mlflow.exceptions import MlflowException

    card = read_json(model / "card.json")
    whole = f"tags.model_sha256 = '{card['sha256']}' and attributes.status = 'FINISHED'"
    runs = client.search_runs([experiment], whole, order_by=["attributes.start_time ASC"])
    if not runs:
        return None
    with suppress(MlflowException):  # it is there, perhaps since a moment ago
        client.create_registered_model(NAME, description="Real (0) or fake (1) faces; score = probability of fake")
    run, known = runs[0], _versions(client, card["sha256"])
    drawn = {"drawings": str(card["drawings"])} if card.get("drawings") is not None else {}
    drawn |= {"guessing": "True"} if card.get("guessing") else {}
    said = bool(known) and drawn.items() <= known[0].tags.items()  # else an older version of fakeface made it
    if said and client.list_artifacts(known[0].run_id, "detector"):
        return known[0]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "detector")
        save_detector(folder, model, card)
        client.log_artifacts(known[0].run_id if known else run.info.run_id, str(folder), "detector")
    if known:  # its files were lost, or its card did not say it
        for item in drawn.items():
            insist(client.set_model_version_tag, NAME, known[0].version, *item)
        return _versions(client, card["sha256"])[0]
    tags = {name: str(card[name]) for name in ("approach", "data_hash")}
    tags |= {"model_sha256": card["sha256"], "md5": md5, "val_accuracy": repr(val_accuracy(card))} | drawn
    source, description = f"{run.info.artifact_uri}/detector", f"{card['approach']}, chosen on val"
    made = client.create_model_version(NAME, source, run.info.run_id, tags=tags, description=description)
    first = _versions(client, card["sha256"])[0]
    if first.version != made.version:
        client.delete_model_version(NAME, made.version)
    return first


def champion(client: Any) -> Any:
    """The version that is the champion; None where there is none."""
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):
        return client.get_model_version_by_alias(NAME, CHAMPION)
    return None


def crown(client: Any, version: Any) -> None:
    """Makes a version the champion, in the store and in `KEPT`."""
    insist(client.set_registered_model_alias, NAME, CHAMPION, version.version)
    names = ("approach", "model_sha256", "data_hash", "val_accuracy", "md5")
    write_json(KEPT, {name: version.tags.get(name, "") for name in names})


def lost_champion(client: Any) -> dict[str, str] | None:
    """What `KEPT` says of a champion that this store has not; None where the store has one, or none was ever made.

    Raises:
        UserError: the file is not readable.
    """
    if not KEPT.is_file() or champion(client) is not None:
        return None
    try:
        kept = read_json(KEPT)
        return {name: str(kept[name]) for name in ("approach", "model_sha256", "md5")}
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{KEPT}: names no champion; run `git checkout {KEPT}`, or remove the file") from None


def promote(version: str) -> None:
    """Makes a version the champion, whatever it scored.

    Raises:
        UserError: there is no store or no version of that number.
    """
    require_store(f"version {version}")
    from mlflow.exceptions import MlflowException

    with opened() as (client, _):
        try:
            crown(client, client.get_model_version(NAME, version))
        except MlflowException:
            numbers = sorted(int(v.version) for v in client.search_model_versions(f"name = '{NAME}'"))
            allowed = ", ".join(map(str, numbers)) or "none yet: run `fakeface publish`"
            raise UserError(f"{NAME} has no version {version}; it has {allowed}") from None


@contextmanager
def fetched(uri: str) -> Iterator[Path]:
    """Yields a copy of the checkpoint folder of `models:/<name>@<alias>` or `models:/<name>/<version>`.

    The store is the one that `store.open_store` would open; none is made.

    Raises:
        UserError: there is no store, no such version, or it is not from fakeface.
    """
    require_store(uri)
    store = address()
    import_mlflow()
    import mlflow
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    mlflow.set_tracking_uri(store)
    with tempfile.TemporaryDirectory() as temporary:
        try:
            folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=temporary))
            flavours = mlflow.models.Model.load(str(folder)).flavors
            inside = flavours["python_function"]["artifacts"]["checkpoint"]["path"]
        except (MlflowException, SQLAlchemyError, OSError, ValueError) as error:
            raise UserError(
                f"{uri}: {one_line(error)}; `fakeface publish` creates versions; MLFLOW_TRACKING_URI selects the store"
            ) from None
        except (KeyError, TypeError):
            raise UserError(f"{uri}: is not a fakeface detector; name one, such as models:/fakeface@champion") from None
        checkpoint = (folder / inside).resolve()
        if not checkpoint.is_relative_to(folder.resolve()):
            raise UserError(f"{uri}: its checkpoint path points outside the model ({inside})")
        yield checkpoint


def _versions(client: Any, sha256: str) -> list[Any]:
    found = client.search_model_versions(f"name = '{NAME}'")
    return sorted((v for v in found if v.tags.get("model_sha256") == sha256), key=lambda v: int(v.version))
