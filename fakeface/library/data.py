"""A folder of real and fake faces for programs: how the pipeline would split it, and what its files reveal."""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import ValidationError

from fakeface.core.errors import UserError, printable, require_packages
from fakeface.core.load import in_words
from fakeface.core.params import Audit as Limits
from fakeface.core.params import Base, Split
from fakeface.predict.detector import max_megapixels
from fakeface.predict.squares import DECODERS

if TYPE_CHECKING:
    import pandas as pd

    from fakeface.images.decode import Found

Protocol = Literal["fractions", "counts", "article", "task", "folders"]

LIMITS = Limits(on_shortcut="fail", max_metadata=0.65, max_file_size=0.65, max_picture=0.75, folds=5)
NEEDED = ("imagehash", "scipy", "sklearn", "matplotlib")
# Messages name keys of params.yaml; the arguments here have the same names.
KEYS = re.compile(
    r"params\.yaml: | in params\.yaml|\bsplit\.(?=(data|real|fake|protocol|train|val|test|group_by|hash_distance)\b)"
)


def split(
    data: str | PathLike[str],
    *,
    real: str | PathLike[str] = "0_real",
    fake: str | PathLike[str] = "1_fake",
    protocol: Protocol = "fractions",
    train: float = 0.6,
    val: float = 0.15,
    test: float = 0.25,
    group_by: str = "photo",
    hash_distance: int = 4,
    image_size: int = 256,
    seed: int = 0,
) -> "pd.DataFrame":
    """Splits the images of a folder into train, val and test, so that all images of one photo or person are in one of them.

    The same split as the stage `split` makes with these parameters. Nothing is written.

    Args:
        data: the folder that holds the two class folders, `real` and `fake`, which are searched at any depth.
        protocol, train, val, test, group_by, hash_distance, image_size, seed: as in params.yaml (docs/reference.md).

    Returns:
        A row for each image, reals first, then by path.
        path: relative to `data`, POSIX.
        label: int64, 0 real, 1 fake.
        group: images with the same value are kept together: the path, without suffix, of the first of them.
        set: `train`, `val`, `test`, or `unused` where the sizes leave images over; empty for an image that cannot be read.
        problem: why the image cannot be read, or empty; no exception is raised for it.

    Warns:
        UserWarning: for each thing to know, such as files that are no images, or a set that is smaller than asked for.

    Raises:
        UserError: a folder is missing or empty, an argument has a wrong value, or a set would have no image of a class.
    """
    base, p = sections(
        data, real, fake, protocol=protocol, train=train, val=val, test=test, group_by=group_by,
        hash_distance=hash_distance, image_size=image_size, seed=seed,
    )  # fmt: skip
    require_packages("pipeline", *NEEDED)
    from fakeface.images.decode import find_images
    from fakeface.split.stage import make_split

    with arguments_named():
        made = make_split(base, p, Path(os.devnull))  # of the pixels only the table is wanted
        found = find_images(p.data, p.real, p.fake)
    for note in made.notes:
        warnings.warn(KEYS.sub("", note), stacklevel=2)
    manifest = made.manifest[["path", "source", "split"]].rename(columns={"source": "group", "split": "set"})
    rows = found_rows(found, made.skipped).merge(manifest, "left", on="path")
    return rows.fillna({"group": "", "set": ""})[["path", "label", "group", "set", "problem"]]


def found_rows(found: "list[Found]", skipped: list[tuple[str, str]]) -> "pd.DataFrame":
    """Columns path, label, problem: a row for each image that was found."""
    import pandas as pd

    reasons = dict(skipped)
    rows = [(printable(one.path) if one.path in reasons else one.path, one.label) for one in found]
    problems = [reasons.get(one.path, "") for one in found]
    return pd.DataFrame(rows, columns=["path", "label"]).assign(problem=problems)


@dataclass(frozen=True, repr=False)
class Audit:
    """What the files of a folder reveal, made by `audit`. `print` shows status and findings.

    status: `pass`, `warn`, or `fail`: the pipeline would stop.
    findings: a row for each thing that is wrong, the worst first: status, text, remedy.
    probes: how well a classifier tells real from fake without looking at faces: probe (`metadata`, `file_size`, `mean_colour`,
        `thumbnail`, `spectrum`), fakes (`all`, or of several generators each by itself), balanced_accuracy (0.5 is chance; NaN
        where there are too few images), low and high of its 95 % interval, limit.
    pairs: duplicates and near-duplicates, up to 10,000 of each kind: kind (`exact`; `near`; `sets`, one photo in two sets;
        `classes`, one photo in both classes), path, other, set, other_set, bits (of 64 in which the perceptual hashes differ).
    counts: how many of each kind there are.
    files: a row for each image: path, label, set, group, bytes, format, mode, width and height in pixels, quantization
        (digest of JPEG's tables), quality (of JPEG, estimate), subsampling, traces (EXIF and others).
    skipped: path and problem of images that cannot be read; not_used: how many files are no images, by kind.
    """

    status: str
    findings: "pd.DataFrame"
    probes: "pd.DataFrame"
    pairs: "pd.DataFrame"
    counts: dict[str, int]
    files: "pd.DataFrame"
    skipped: "pd.DataFrame"
    not_used: dict[str, int]

    def __repr__(self) -> str:
        lines = [
            f"{self.status}: {len(self.files)} images, findings: {len(self.findings)}, {len(self.skipped)} unreadable"
        ]
        return "\n".join(
            lines + [f"{one.status}: {one.text}. Remedy: {one.remedy}" for one in self.findings.itertuples()]
        )


def audit(
    data: str | PathLike[str],
    *,
    real: str | PathLike[str] = "0_real",
    fake: str | PathLike[str] = "1_fake",
    protocol: Protocol = "fractions",
    train: float = 0.6,
    val: float = 0.15,
    test: float = 0.25,
    group_by: str = "photo",
    hash_distance: int = 4,
    image_size: int = 256,
    seed: int = 0,
) -> Audit:
    """Looks for what would let a detector do without faces: formats, sizes, compression, duplicates, near-duplicates.

    The same figures as the stage `audit` has with these parameters and the default limits. Nothing is written but a temporary
    file of 3 * `image_size` ** 2 bytes an image.

    Args:
        as in `split`.

    Raises:
        UserError: as `split`.
    """
    import pandas as pd

    base, p = sections(
        data, real, fake, protocol=protocol, train=train, val=val, test=test, group_by=group_by,
        hash_distance=hash_distance, image_size=image_size, seed=seed,
    )  # fmt: skip
    require_packages("pipeline", *NEEDED)
    from fakeface.audit.facts import pair_table
    from fakeface.audit.stage import measure
    from fakeface.images.rows import PixelFile
    from fakeface.images.store import Dataset
    from fakeface.split.stage import make_split

    with TemporaryDirectory(prefix="fakeface") as temporary, arguments_named():
        pixels = Path(temporary, "pixels.npy")
        made = make_split(base, p, pixels)
        found, verdict = measure(Dataset(pixels.parent, made.manifest, PixelFile(pixels)), seed, p, LIMITS)
    probes = [
        (name, fakes, probe.accuracy, probe.low, probe.high, found.limits[name])
        for fakes, of in ({"all": found.probes} | found.apart).items()
        for name, probe in of.items()
    ]
    named = {"split": "set", "other_split": "other_set", "source": "group"}
    columns = ["probe", "fakes", "balanced_accuracy", "low", "high", "limit"]
    pairs = pair_table(made.manifest, found.copies, found.pictures.hashes).rename(columns=named)
    return Audit(
        status=verdict.status,
        findings=pd.DataFrame([vars(one) for one in verdict.findings], columns=["status", "text", "remedy"]),
        probes=pd.DataFrame(probes, columns=columns).astype(dict.fromkeys(columns[2:], "float64")),
        pairs=pairs.replace({"kind": {"splits": "sets"}}),
        counts=found.copies.counts,
        files=found.facts.rename(columns=named),
        skipped=pd.DataFrame([(printable(path), why) for path, why in made.skipped], columns=["path", "problem"]),
        not_used=made.summary["left_out"],
    )


def sections(
    data: str | PathLike[str],
    real: str | PathLike[str],
    fake: str | PathLike[str],
    *,
    image_size: int,
    seed: int,
    store: str = "resized",
    **values: Any,
) -> tuple[Base, Split]:
    """The two sections of params.yaml that say how a folder is read and split.

    Raises:
        UserError: a value is not allowed.
    """

    def plain(numbers: dict[str, Any]) -> dict[str, Any]:
        """Without numpy's types, which the parameters refuse."""
        return {key: value.item() if isinstance(value, np.generic) else value for key, value in numbers.items()}

    here = {"seed": seed, "image_size": image_size, "threads": min(DECODERS, os.cpu_count() or 1)}
    fixed = {"device": "auto", "precision": "auto", "processes": 1, "compile": "off", "tracking": False}
    read = {"on_bad_image": "skip", "max_megapixels": max_megapixels(), "store": store}
    places = {"data": fspath(Path(data).expanduser()), "real": fspath(real), "fake": fspath(fake)}
    try:
        return Base.model_validate(fixed | plain(here)), Split.model_validate(places | read | plain(values))
    except ValidationError as error:
        raise UserError(KEYS.sub("", in_words(error))) from None


@contextmanager
def arguments_named() -> Iterator[None]:
    """Around stage code: errors name the arguments, not the keys of params.yaml."""
    try:
        yield
    except UserError as error:
        raise UserError(KEYS.sub("", str(error))) from None
