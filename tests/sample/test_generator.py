"""The sample: reproducible bytes, one camera for both classes, a generator that learns, and no shortcut."""

from __future__ import annotations

import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from ruamel.yaml import YAML
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fakeface.sample import generator as module
from fakeface.sample.generator import FAKE_FOLDER, REAL_FOLDER, camera, make_sample, resynthesise, train_generator
from fakeface.sample.portraits import draw_portrait


def silent(_: str) -> None:
    """A progress function that says nothing."""


def small_sample(folder: Path, count: int = 3, seed: int = 0) -> dict[str, float]:
    folder.mkdir()
    return make_sample(folder, count=count, image_size=64, seed=seed, steps=4, channels=4, training_portraits=2,
                       noise=5.0, jpeg_quality=85, threads=2, progress=silent)  # fmt: skip


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.jpg"))}


def test_same_arguments_write_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        small_sample(tmp_path / name, seed=seed)
    first, second, other = (files(tmp_path / name) for name in "abc")
    assert first == second
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


def test_a_pair_does_not_depend_on_the_count(tmp_path: Path) -> None:
    small_sample(tmp_path / "few", count=2)
    small_sample(tmp_path / "more", count=4)
    few, more = files(tmp_path / "few"), files(tmp_path / "more")
    assert len(few) == 4
    assert len(more) == 8
    assert all(more[name] == few[name] for name in few)


def test_classes_share_names_size_and_encoder(tmp_path: Path) -> None:
    facts = small_sample(tmp_path / "sample")
    names = [
        sorted(path.name for path in (tmp_path / "sample" / label).iterdir()) for label in (REAL_FOLDER, FAKE_FOLDER)
    ]
    assert names[0] == names[1] == ["0001.jpg", "0002.jpg", "0003.jpg"]
    seen = set()
    for path in (tmp_path / "sample").rglob("*.jpg"):
        with Image.open(path) as image:
            tables = tuple(tuple(table) for table in image.quantization.values())  # type: ignore[attr-defined]
            seen.add((image.format, image.size, image.mode, tables, tuple(sorted(image.info))))
    assert len(seen) == 1
    assert next(iter(seen))[:3] == ("JPEG", (64, 64), "RGB")
    assert {"psnr_db", "generator_l1"} <= facts.keys()
    assert all(np.isfinite(value) and round(value, 4) == value for value in facts.values())


def test_both_classes_go_through_the_same_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def recorded(picture: NDArray[np.uint8], rng: np.random.Generator, **settings: float) -> bytes:
        calls.append((picture.shape, tuple(sorted(settings.items()))))
        return b"photograph"

    monkeypatch.setattr(module, "camera", recorded)
    small_sample(tmp_path / "sample", count=2)
    assert len(calls) == 4
    assert len(set(calls)) == 1
    assert set(files(tmp_path / "sample").values()) == {b"photograph"}


def test_camera_adds_the_noise_it_says() -> None:
    grey = np.full((128, 128, 3), 128, np.uint8)
    shots = [camera(grey, np.random.default_rng(i), noise=6.0, jpeg_quality=95) for i in range(40)]
    spread = [np.asarray(Image.open(BytesIO(shot)).convert("L"), np.float32).std() for shot in shots]
    quiet = np.asarray(Image.open(BytesIO(camera(grey, np.random.default_rng(0), noise=0.0, jpeg_quality=95))))
    assert np.ptp(quiet) == 0
    luma = 6.0 * np.sqrt(0.299**2 + 0.587**2 + 0.114**2)  # three independent channels, weighed together
    assert np.mean(spread) == pytest.approx(luma, rel=0.25)
    assert camera(grey, np.random.default_rng(1), noise=6.0, jpeg_quality=95) == shots[1]


def test_training_reduces_the_error() -> None:
    portraits = np.stack([draw_portrait(9, index, size=64) for index in range(4)])
    _, start = train_generator(portraits, seed=0, steps=1, channels=8, progress=silent)
    generator, end = train_generator(portraits, seed=0, steps=80, channels=8, progress=silent)
    assert end < 0.4 * start
    copy = resynthesise(generator, portraits[0])
    assert copy.shape == portraits[0].shape
    assert copy.dtype == np.float32
    assert np.abs(copy - portraits[0]).mean() < 0.6 * start


def test_torch_state_is_put_back(tmp_path: Path) -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    small_sample(tmp_path / "sample")
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("change", [{"count": 0}, {"image_size": 66}, {"noise": -1.0}, {"jpeg_quality": 96}])
def test_bad_arguments_are_refused(tmp_path: Path, change: dict[str, float]) -> None:
    good = {"count": 1, "image_size": 64, "seed": 0, "steps": 1, "channels": 4, "training_portraits": 1, "noise": 1.0,
            "jpeg_quality": 85, "threads": 1}  # fmt: skip
    with pytest.raises(ValueError, match=r"bad sample|not -?\d"):
        make_sample(tmp_path, **(good | change), progress=silent)  # type: ignore[arg-type]
    assert not files(tmp_path)


def shortcut_features(folder: Path) -> NDArray[np.float64]:
    """File size, mean colour and an 8x8 thumbnail of every picture, in the order of the names: (n, 196)."""
    rows = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            thumbnail = np.asarray(image.resize((8, 8), Image.Resampling.BOX), np.float64).ravel()
            colour = np.asarray(image, np.float64).mean(axis=(0, 1))
        rows.append(np.concatenate([[path.stat().st_size], colour, thumbnail]))
    return np.stack(rows)


@pytest.mark.slow
def test_no_shortcut_tells_the_classes_apart(tmp_path: Path) -> None:
    default = YAML(typ="safe").load((Path(__file__).parents[2] / "recipes" / "default.yaml").read_text())["sample"]
    count = default["count"]
    start = time.monotonic()
    facts = make_sample(tmp_path, **default, threads=2, progress=print)
    print(f"{time.monotonic() - start:.1f} s", facts)
    features = np.concatenate([shortcut_features(tmp_path / REAL_FOLDER), shortcut_features(tmp_path / FAKE_FOLDER)])
    labels, portraits = np.repeat([0, 1], count), np.tile(np.arange(count), 2)
    for name, columns in (("file size", slice(0, 1)), ("all", slice(None))):
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        accuracy = cross_val_score(probe, features[:, columns], labels, groups=portraits, cv=GroupKFold(5)).mean()
        print(f"{name}: {accuracy:.3f}")
        assert accuracy < 0.65
    assert facts["psnr_db"] > 30
