"""fakeface: trains, compares and explains detectors of computer-made faces.

    import fakeface

    detector = fakeface.load_detector("models/finetune")
    print(detector.predict(["photo.jpg", "folder"]))

The names in `__all__` are the public API; everything else may change from version to version.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fakeface.core.errors import UserError
    from fakeface.library.detector import Detector, load_detector

__all__ = ["Detector", "UserError", "load_detector"]


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: torch takes a second, and stages import this package first."""
    if name not in __all__:
        raise AttributeError(f"module 'fakeface' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("fakeface.library.detector"), name)
