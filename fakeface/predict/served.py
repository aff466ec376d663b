"""The registered model as MLflow loads it, from this code and a checkpoint folder: nothing is unpickled.

Input: a table whose column `image` holds bytes of image files, or such bytes as base64 text. Output: score, label, verdict,
problem, note, says (`service.predict_table`). With the parameter `whole` no faces are looked for.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Detector(PythonModel):
    def load_context(self, context: Any) -> None:
        from fakeface.predict.service import open_checkpoint

        self.predictor = open_checkpoint(Path(context.artifacts["checkpoint"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        from fakeface.predict.service import predict_table

        return predict_table(self.predictor, _images(model_input), bool((params or {}).get("whole")))


def _images(model_input: pd.DataFrame) -> Iterable[Any]:
    """The column `image`; of a request such as {"inputs": {"image": [...]}} MLflow makes a single cell that holds them all."""
    column = model_input["image"]
    if len(column) == 1 and isinstance(column.iloc[0], list | tuple | np.ndarray):
        return list(column.iloc[0])
    return column


set_model(Detector())
