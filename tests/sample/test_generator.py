"""The sample: one camera for both classes, exact copies with a generator's trace, the same bytes everywhere, no shortcut."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, environment
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.make_generator import apply, as_tensor, new_layers, rounded
from fakeface.sample import generator as module
from fakeface.sample.generator import FAKE_FOLDER, LEVELS, REAL_FOLDER, WEIGHTS, Generator, camera, make_sample
from fakeface.sample.portraits import draw_portrait

# Of the first portraits and fakes, by any processor: a change here is another sample, and everybody's trainings start anew.
GOLDEN = {
    "0_real/0001.jpg": "cafd4a8a42d33fb990c6b6ed3da04412",
    "0_real/0002.jpg": "59ebcc1cd99da83b0dc946301b5553dd",
    "0_real/0003.jpg": "ffed5769f3caf75de0bd51255334d0c0",
    "1_fake/0001.jpg": "5826866267f4b5d47a47dd7d0fbc9492",
    "1_fake/0002.jpg": "dac8bc764c43f4e80aa99770af0fbaee",
    "1_fake/0003.jpg": "3f8d082a71a4b240017deb4ddf2c4261",
}

SIMD = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
NO_FMA = "glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-FMA,-FMA4,-ERMS"
OTHER_PROCESSORS = {
    "without SIMD": {
        "NPY_DISABLE_CPU_FEATURES": " ".join(SIMD),
        "OPENBLAS_CORETYPE": "Nehalem",
        "JSIMD_FORCENONE": "1",
    },
    "without FMA in libm": {"GLIBC_TUNABLES": NO_FMA, "OPENBLAS_CORETYPE": "Sandybridge"},
    "with AVX2 alone": {"NPY_DISABLE_CPU_FEATURES": " ".join(SIMD[1:]), "OPENBLAS_CORETYPE": "Haswell"},
    "with two threads": {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
}


def sample(folder: Path, count: int = 3, threads: int = 1) -> dict[str, float]:
    folder.mkdir()
    make_sample(folder, count=count, threads=threads)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.jpg"))
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample of three pairs."""
    folder = tmp_path_factory.mktemp("made") / "sample"
    sample(folder)
    return folder


def test_the_files_are_those_of_every_other_processor(made: Path) -> None:
    assert {name: digest[:32] for name, digest in digests(made).items()} == GOLDEN


@pytest.mark.parametrize("processor", OTHER_PROCESSORS)
def test_another_processor_makes_the_same_bytes(processor: str, made: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from fakeface.sample.generator import make_sample\n"
        "from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__\n"
        "make_sample(Path(sys.argv[1]), count=3, threads=2)\n"
        "print(*[name for name in __cpu_dispatch__ if __cpu_features__.get(name)])"
    )
    switches = OTHER_PROCESSORS[processor]
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, env=environment(**switches),
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    off = switches.get("NPY_DISABLE_CPU_FEATURES", "").split()
    assert done.stdout.split() == [name for name in SIMD if name not in off]
    assert digests(tmp_path) == digests(made)


@pytest.mark.parametrize(("count", "threads"), [(2, 2), (4, 1)])
def test_a_pair_depends_neither_on_count_nor_on_threads(count: int, threads: int, made: Path, tmp_path: Path) -> None:
    sample(tmp_path / "other", count, threads)
    other, three = digests(tmp_path / "other"), digests(made)
    assert len(other) == 2 * count
    assert len(set(other.values())) == len(other)
    assert all(other[name] == three[name] for name in other.keys() & three.keys())


def test_classes_share_names_size_and_encoder(made: Path) -> None:
    for folder in (REAL_FOLDER, FAKE_FOLDER):
        assert sorted(path.name for path in (made / folder).iterdir()) == ["0001.jpg", "0002.jpg", "0003.jpg"]
    seen = set()
    for path in made.rglob("*.jpg"):
        with Image.open(path) as image:
            tables = tuple(tuple(table) for table in image.quantization.values())  # type: ignore[attr-defined]
            seen.add((image.format, image.size, image.mode, tables, tuple(sorted(image.info))))
    assert len(seen) == 1
    assert next(iter(seen))[:3] == ("JPEG", (256, 256), "RGB")


def test_both_classes_go_through_the_same_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []

    def recorded(picture: NDArray[np.uint8], _: np.random.Generator) -> bytes:
        shapes.append(picture.shape)
        return b"photograph"

    monkeypatch.setattr(module, "camera", recorded)
    sample(tmp_path / "sample", count=2)
    assert shapes == [(256, 256, 3)] * 4
    assert {path.read_bytes() for path in tmp_path.rglob("*.jpg")} == {b"photograph"}


def test_camera_adds_the_noise_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUALITY", 95)
    grey = np.full((128, 128, 3), 128, np.uint8)
    shots = [camera(grey, np.random.default_rng(i)) for i in range(40)]
    spread = [np.asarray(Image.open(BytesIO(shot)).convert("L"), np.float32).std() for shot in shots]
    luma = module.NOISE * np.sqrt(0.299**2 + 0.587**2 + 0.114**2)  # three independent channels, weighed together
    assert np.mean(spread) == pytest.approx(luma, rel=0.25)
    assert camera(grey, np.random.default_rng(1)) == shots[1]
    monkeypatch.setattr(module, "NOISE", 0.0)
    assert np.ptp(np.asarray(Image.open(BytesIO(camera(grey, np.random.default_rng(0)))))) == 0


def test_every_sum_of_the_generator_is_exact_in_float32() -> None:
    with np.load(WEIGHTS) as file:
        for layer in range(4):
            weight, bias = file[f"{layer}.weight"], file[f"{layer}.bias"]
            assert weight.dtype == np.int8
            assert (np.abs(weight.astype(int)).sum(axis=0) * LEVELS + np.abs(bias)).max() < 2**24
    assert WEIGHTS.stat().st_size < 200_000


def test_copies_are_close_and_carry_a_periodic_trace() -> None:
    generator = Generator()
    portraits = [draw_portrait(index) for index in range(6)]
    errors = [np.mean((generator(portrait) - portrait) ** 2) for portrait in portraits]
    assert np.mean(10 * np.log10(255**2 / np.array(errors))) > 34
    flat = generator(np.full((64, 64, 3), (200, 150, 120), np.uint8))
    assert np.array_equal(flat[:-4], flat[4:])
    assert np.array_equal(flat[:, :-4], flat[:, 4:])
    assert np.ptp(flat[:4, :4], axis=(0, 1)).min() > 0.5  # levels of 255: the upsampling's pattern, 4 pixels long


def test_rounded_layers_copy_like_the_network_that_was_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layers, image = new_layers(8), np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    np.savez(tmp_path / "w.npz", **rounded(layers, as_tensor(image[None])))  # type: ignore[arg-type]
    monkeypatch.setattr(module, "WEIGHTS", tmp_path / "w.npz")
    with torch.no_grad():
        floats = apply(layers, as_tensor(image[None]))[0].permute(1, 2, 0).numpy() * 127.5 + 127.5
    assert np.ptp(floats) > 10
    assert np.abs(Generator()(image) - floats)[8:-8, 8:-8].max() < 0.05 * np.ptp(floats)


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
    count, start = 300, time.monotonic()
    sample(tmp_path / "sample", count, threads=2)
    print(f"{time.monotonic() - start:.1f} s")
    features = np.concatenate([shortcut_features(tmp_path / "sample" / name) for name in (REAL_FOLDER, FAKE_FOLDER)])
    labels, portraits = np.repeat([0, 1], count), np.tile(np.arange(count), 2)
    for name, columns in (("file size", slice(0, 1)), ("all", slice(None))):
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        accuracy = cross_val_score(probe, features[:, columns], labels, groups=portraits, cv=GroupKFold(5)).mean()
        print(f"{name}: {accuracy:.3f}")
        assert accuracy < 0.65
