"""params.yaml, typed and strict: an unknown key, a wrong type or a value out of range is one clear line, not a guess.

No key has a default here: params.yaml has every value, so DVC sees everything that a result depends on.
"""

import difflib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from fakeface.core.perturbations import CELLS

Positive = Annotated[int, Field(ge=1, le=1_000_000)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Accuracy = Annotated[float, Field(ge=0.5, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Augment = Literal["article", "crop", "robust", "none"]

# Smaller inputs are pooled away, or leave BatchNorm a single value a channel.
MIN_CROP = {"mynet": 96, "vgg11": 32, "resnet18": 48, "efficientnet_lite0": 48, "clip_vit_b16": 32}
NAMED_WEIGHTS = ("imagenet", "openai", "none")  # anything else is the path of a state dict
ENOUGH_GROUPS = 6  # photos or groups of a class in val; fewer cannot show that a detector does not guess
Pretrained = Literal["resnet18", "efficientnet_lite0", "clip_vit_b16"]
Tune = Literal["all", "norm", "head"]


def nearest(name: str, names: Sequence[str]) -> str:
    """Which of the names was perhaps meant by a wrong one, else all of them."""
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else f"allowed here: {', '.join(names)}"


def _one_of(what: str, names: Callable[[], Sequence[str]]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in names():
            raise ValueError(f"{name!r} is not a known {what}; {nearest(name, names())}")
        return name

    return AfterValidator(check)


def _once(values: list[Any]) -> list[Any]:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{value!r} is listed twice; remove one")
    return values


ALL = "all"  # generators to leave out


def _generators(names: list[str]) -> list[str]:
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise ValueError(
                f"{name!r}: only letters, digits, '.', '-' and '_' are allowed; rename the sub-folder, or set [{ALL}]"
            )
    if ALL in names and len(names) > 1:
        raise ValueError(f"{ALL} means every generator: list it alone, or name the generators")
    return _once(names)


Approach = Annotated[str, _one_of("approach", lambda: APPROACHES)]
Perturbation = Annotated[str, _one_of("perturbation", lambda: [cell.name for cell in CELLS if cell.steps])]


def _no_home(value: str) -> str:
    if (whole := os.path.expanduser(value)) != value:  # only a shell puts the home folder there
        raise ValueError(f"{value!r}: ~ is not expanded here; write {whole!r}")
    return value


Place = Annotated[str, Field(min_length=1), AfterValidator(_no_home)]
FolderName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Base(Section):
    seed: Seed
    threads: Annotated[int, Field(ge=1, le=1024)]
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "fp32", "bf16"]
    processes: Annotated[int, Field(ge=1, le=256)]
    compile: Literal["auto", "on", "off"]
    image_size: Annotated[int, Field(ge=16, le=1024)]
    tracking: bool


class Sample(Section):
    count: Annotated[int, Field(ge=0, le=9999)]


class Aligned(Section):
    sources: dict[FolderName, Place]
    autoencoder: Place
    max_side: Annotated[int, Field(ge=64, le=4096)]
    mix: Annotated[float, Field(ge=0, lt=1)]


class Split(Section):
    data: Place
    real: Annotated[str, Field(min_length=1)]
    fake: Annotated[str, Field(min_length=1)]
    protocol: Literal["fractions", "counts", "article", "task", "folders"]
    train: NonNegative
    val: NonNegative
    test: NonNegative
    group_by: str
    hash_distance: Annotated[int, Field(ge=0, le=16)]
    on_bad_image: Literal["fail", "skip"]
    max_megapixels: Annotated[float, Field(gt=0, le=178)]  # Pillow opens no larger ones
    store: Literal["resized", "native"]

    @field_validator("group_by")
    @classmethod
    def _group_by_is_known(cls, value: str) -> str:
        try:
            known = value in ("photo", "none", "folder") or "group" in re.compile(value).groupindex
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"{value!r} is not a valid pattern ({error})") from None
        if not known:
            such = "must be photo, none, folder, or a pattern with a group of that name, such as '^(?P<group>[^_]+)_'"
            raise ValueError(f"{value!r}: {such}")
        return value

    @model_validator(mode="after")
    def _sizes_fit_the_protocol(self) -> "Split":
        sizes = (self.train, self.val, self.test)
        real, fake = PurePosixPath(self.real), PurePosixPath(self.fake)
        if any(path.is_absolute() or ".." in path.parts for path in (real, fake)):
            raise ValueError("real and fake must be paths inside split.data, without a leading / and without ..")
        if real.is_relative_to(fake) or fake.is_relative_to(real):
            raise ValueError("real and fake are the same folder, or one contains the other; name two separate folders")
        if self.protocol == "counts" and any(size != int(size) or size < 1 for size in sizes):
            raise ValueError(
                "protocol counts needs whole numbers of images per class, 1 or more, in train, val and test"
            )
        if self.protocol == "fractions" and (min(sizes) <= 0 or sum(sizes) > 1 + 1e-9):
            raise ValueError("protocol fractions needs train, val and test above 0 with a sum of at most 1")
        if self.protocol in ("article", "task", "folders") and not 0 < self.val < 1:
            raise ValueError(
                f"protocol {self.protocol} needs val between 0 and 1: the part of the training images cut off"
            )
        return self


class Audit(Section):
    on_shortcut: Literal["fail", "warn"]
    max_metadata: Accuracy
    max_file_size: Accuracy
    max_picture: Accuracy
    folds: Annotated[int, Field(ge=2, le=20)]


class Features(Section):
    network: Pretrained
    weights: Place
    crop_size: Annotated[int, Field(ge=16)]
    augment: Augment
    views: Positive


class Training(Section):
    """What the one training loop takes, whatever the network."""

    epochs: Positive
    batch_size: Positive
    optimizer: Literal["sgd", "adamw"]
    lr: Rate
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: NonNegative
    schedule: Literal["constant", "step", "onecycle"]
    step_size: Positive
    gamma: Rate
    keep: Literal["best", "last"]
    balance: Literal["class", "generator"]
    patience: Annotated[int, Field(ge=0, le=1_000_000)]


class TrainScratch(Training):
    network: Literal["mynet", "vgg11"]
    init: Literal["he", "torch"]
    crop_size: Annotated[int, Field(ge=16)]
    augment: Augment


class TrainExtractor(Training):
    batchnorm: Literal["frozen", "moving"]


class TrainFinetune(Training):
    network: Pretrained
    weights: Place
    tune: Tune
    crop_size: Annotated[int, Field(ge=16)]
    with_mirrored: bool
    score_crops: Literal[1, 5]
    augment: Augment


class Evaluate(Section):
    resamples: Annotated[int, Field(ge=100, le=100_000)]
    seeds: Annotated[list[Seed], AfterValidator(_once)]
    leak: Annotated[list[Approach], AfterValidator(_once)]
    leave_out: Annotated[list[str], AfterValidator(_generators)]
    extra_sets: dict[FolderName, Place]


class Robustness(Section):
    images: Annotated[int, Field(ge=0, le=1_000_000)]
    budget: dict[Approach, dict[Perturbation, Annotated[float, Field(ge=0, le=1)]]]


class Registry(Section):
    margin: Annotated[float, Field(ge=0, le=1)]


class Params(Section):
    base: Base
    sample: Sample
    aligned: Aligned
    split: Split
    audit: Audit
    features: Features
    train_scratch: TrainScratch
    train_extractor: TrainExtractor
    train_finetune: TrainFinetune
    evaluate: Evaluate
    robustness: Robustness
    registry: Registry

    def aligned_source(self) -> str | None:
        """The folder that split.data is made from, if the stage `aligned` makes it."""
        return {f"data/aligned/{name}": source for name, source in self.aligned.sources.items()}.get(
            PurePosixPath(self.split.data).as_posix()
        )

    @model_validator(mode="after")
    def _crops_fit(self) -> "Params":
        for name, section in self:
            if not hasattr(section, "crop_size"):
                continue
            least = MIN_CROP[section.network]
            if not least <= section.crop_size <= self.base.image_size:
                raise ValueError(
                    f"{name}.crop_size = {section.crop_size}: {section.network} needs {least} or more, "
                    f"and base.image_size allows {self.base.image_size} at most"
                )
        finetune = self.train_finetune
        if finetune.score_crops > 1 and finetune.crop_size == self.base.image_size:
            raise ValueError(
                f"train_finetune.score_crops = {finetune.score_crops}: all of them are the whole image, since crop_size is "
                "base.image_size; set 1, or a smaller crop_size"
            )
        return self

    @model_validator(mode="after")
    def _weights_are_the_networks(self) -> "Params":
        for name, section in self:
            if not hasattr(section, "weights"):
                continue
            own, other = ("openai", "imagenet") if section.network == "clip_vit_b16" else ("imagenet", "openai")
            if section.weights == other:
                raise ValueError(
                    f"{name}.weights = {other}: not available for {section.network}; set {own}, none or the path of a state dict"
                )
        if self.features.network == "clip_vit_b16" and self.train_extractor.batchnorm == "moving":
            raise ValueError("train_extractor.batchnorm: moving needs BatchNorm, and clip_vit_b16 has none; set frozen")
        return self

    @model_validator(mode="after")
    def _variants_differ_from_the_pipeline(self) -> "Params":
        if self.base.seed in self.evaluate.seeds:
            raise ValueError(
                f"evaluate.seeds lists {self.base.seed}, which is base.seed: that training is the pipeline's own; name others"
            )
        if self.evaluate.leak and self.split.group_by == "none":
            raise ValueError(
                "evaluate.leak trains with the leaky split, to compare it with one that keeps photos whole: "
                "set split.group_by: photo, or evaluate.leak: []"
            )
        if self.evaluate.leak and self.split.protocol == "folders":
            raise ValueError(
                "evaluate.leak trains under a random split, but split.protocol: folders keeps a given one: set evaluate.leak: []"
            )
        return self


# The registry of approaches: each is a section train_<approach> of Params, and stands everywhere in this order.
APPROACHES = tuple(name.removeprefix("train_") for name in Params.model_fields if name.startswith("train_"))
