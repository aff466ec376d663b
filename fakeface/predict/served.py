"""The registered model as MLflow loads it, from this code and a checkpoint folder: nothing is unpickled.

Input: a table whose column `image` holds bytes of image files, such bytes as base64 text, or paths. Paths are read only in the
folder that the environment variable FAKEFACE_IMAGES names. Output: score, label, verdict, problem (`incoming.judge`).
"""

import os
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Detector(PythonModel):
    def load_context(self, context: Any) -> None:
        from fakeface.predict.service import open_checkpoint

        self.predictor = open_checkpoint(Path(context.artifacts["checkpoint"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        from fakeface.predict.service import judge

        named = os.environ.get("FAKEFACE_IMAGES")
        return judge(self.predictor, model_input["image"], Path(named) if named else None)


set_model(Detector())
