"""The protocol of the robustness stage: which perturbations, how strong. Names alone, so that params.py can read it at once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One perturbation of all test images. `steps`: what is done to an image in turn, (kind, strength)."""

    name: str
    steps: tuple[tuple[str, float], ...]


# A kind of perturbation, and what its strength means.
KINDS = {
    "jpeg": "JPEG quality",
    "blur": "Gaussian blur, sigma in pixels",
    "resize": "scaled to this part of its size and back",
    "noise": "Gaussian noise, sigma of 255",
}

CELLS = (
    Cell("clean", ()),
    *(Cell(f"jpeg_{quality}", (("jpeg", quality),)) for quality in (95, 90, 75, 65, 50, 30)),
    *(Cell(f"blur_{sigma}", (("blur", sigma),)) for sigma in (1, 2, 3, 4)),
    *(Cell(f"resize_{percent}", (("resize", percent / 100),)) for percent in (75, 50, 25)),
    *(Cell(f"noise_{sigma}", (("noise", sigma),)) for sigma in (5, 10)),
    Cell("blur_2_jpeg_50", (("blur", 2), ("jpeg", 50))),  # in this order: what is saved last is the JPEG
)


def of_kind(kind: str) -> tuple[Cell, ...]:
    """The clean cell and those of this kind alone, weakest first."""
    return tuple(cell for cell in CELLS if all(step == kind for step, _ in cell.steps) and len(cell.steps) < 2)
