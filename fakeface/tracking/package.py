"""A detector as MLflow's pyfunc model: this code and a checkpoint folder, nothing that is unpickled."""

import base64
import io
from pathlib import Path
from typing import Any

SERVED = Path(__file__).parents[1] / "predict" / "served.py"


def save_detector(folder: Path, checkpoint: Path, card: dict[str, Any]) -> None:
    """Writes the model's folder, as MLflow loads and serves it, from a checkpoint folder and its card."""
    import mlflow

    mlflow.pyfunc.save_model(
        folder,
        python_model=str(SERVED),
        artifacts={"checkpoint": str(checkpoint.resolve())},
        signature=_signature(),
        input_example=_example(card["image_size"]),
        pip_requirements=["fakeface", "mlflow", "torch", "torchvision"],
        metadata={"approach": card["approach"], "classes": card["classes"], "score": card["score"]},
    )


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    outputs: list[Any] = [
        ColSpec(DataType.double, "score"),
        ColSpec(DataType.long, "label"),
        ColSpec(DataType.string, "verdict"),
        ColSpec(DataType.string, "problem"),
    ]
    return ModelSignature(Schema([ColSpec(AnyType(), "image")]), Schema(outputs))


def _example(size: int) -> Any:
    import pandas as pd
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (size, size), (128, 128, 128)).save(file, "PNG")
    return pd.DataFrame({"image": [base64.b64encode(file.getvalue()).decode()]})
