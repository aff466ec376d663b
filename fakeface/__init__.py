"""fakeface: trains, compares and explains detectors of computer-made faces.

    import fakeface

    detector = fakeface.load_detector("models/finetune")
    print(detector.predict(["photo.jpg", "folder"]))

The names in `__all__` are the public API; everything else may change from version to version.
"""

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fakeface.core.errors import UserError
    from fakeface.library.comparison import Comparison, compare
    from fakeface.library.data import Audit, audit, split
    from fakeface.library.detector import Detector, load_detector

__all__ = ["Audit", "Comparison", "Detector", "UserError", "audit", "compare", "load_detector", "split"]

_MODULES = {
    "UserError": "core.errors",
    **dict.fromkeys(("Audit", "audit", "split"), "library.data"),
    **dict.fromkeys(("Comparison", "compare"), "library.comparison"),
    **dict.fromkeys(("Detector", "load_detector"), "library.detector"),
}

# Two packages have the names of functions. The first import of a package sets its name here, so it is done now, and undone.
for _name in ("audit", "split"):
    with suppress(ModuleNotFoundError):  # a served model's code is without them
        import_module(f"fakeface.{_name}")
        del globals()[_name]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: torch takes a second, and stages import this package first."""
    if name not in _MODULES:
        raise AttributeError(f"module 'fakeface' has no attribute {name!r}")
    return getattr(import_module(f"fakeface.{_MODULES[name]}"), name)
