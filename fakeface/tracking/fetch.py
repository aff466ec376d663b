"""The checkpoint of a registered model version, from whichever store holds it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from fakeface.core.errors import UserError, one_line
from fakeface.tracking.store import address, import_mlflow, require_store


@contextmanager
def fetched(uri: str) -> Iterator[Path]:
    """Yields a copy of the checkpoint folder of `models:/<name>@<alias>` or `models:/<name>/<version>`.

    The store is the one that `store.open_store` would open; none is made.

    Raises:
        UserError: there is no store, no such version, or it is none of fakeface's.
    """
    require_store(uri)
    store = address()
    import_mlflow()
    import mlflow
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    mlflow.set_tracking_uri(store)
    with TemporaryDirectory() as temporary:
        try:
            folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=temporary))
            flavours = mlflow.models.Model.load(str(folder)).flavors
            inside = flavours["python_function"]["artifacts"]["checkpoint"]["path"]
        except (MlflowException, SQLAlchemyError, OSError, ValueError) as error:
            raise UserError(
                f"{uri}: {one_line(error)}; `fakeface publish` makes versions, MLFLOW_TRACKING_URI names the store"
            ) from None
        except (KeyError, TypeError):
            raise UserError(
                f"{uri}: is no detector of fakeface; give the name of one, such as models:/fakeface@champion"
            ) from None
        checkpoint = (folder / inside).resolve()
        if not checkpoint.is_relative_to(folder.resolve()):
            raise UserError(f"{uri}: its checkpoint lies outside of the model ({inside})")
        yield checkpoint
