"""What a stranger may send: each file is decoded in the one documented way, or gives one line; memory and time are bounded."""

import hashlib
import io
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hostile import Case, contents, encoded, exif, picture, with_alpha, write_corpus
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from fakeface.core.errors import UserError, printable
from fakeface.images import decode as images
from fakeface.images.decode import BadImage, Decoded, Found, decode, decode_bytes, find_images, read_file
from fakeface.images.store import decode_all
from fakeface.predict.service import predict_images, predict_table

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> list[Case]:
    return write_corpus(tmp_path_factory.mktemp("data") / "0_real", tmp_path_factory.mktemp("outside"))


def outcome(data: bytes, size: int = 32) -> str:
    """The reason, one line; empty where the bytes were decoded."""
    images.quiet()
    try:
        image = decode_bytes(data, size, 50)
    except BadImage as error:
        reason = str(error)
    else:
        assert (image.pixels.shape, image.pixels.dtype) == ((3, size, size), np.uint8)
        return ""
    assert printable(reason) == reason != ""
    return reason


def pixels(data: bytes) -> np.ndarray:
    images.quiet()
    return decode_bytes(data, 64, 50).pixels


def square(image: Image.Image) -> np.ndarray:
    return images.square_pixels(image, 64)


@pytest.mark.parametrize("allowed", [50, 178])
def test_more_pixels_than_pillow_opens_are_more_than_the_parameter_may_allow(allowed):
    size = (13_400, 13_400)
    assert size[0] * size[1] > 178e6 > 2 * Image.MAX_IMAGE_PIXELS - 1e6
    data = encoded("PNG", image=Image.new("1", size))
    with pytest.raises(BadImage, match=r"split\.max_megapixels allows"):
        decode_bytes(data, 32, allowed)


def test_corpus_holds_what_was_promised(corpus):
    assert len({case.name for case in corpus}) == len(corpus) > 150
    assert min(sum(case.readable for case in corpus), sum(not case.readable for case in corpus)) > 50
    assert all(bool(case.words) != case.readable for case in corpus)


def test_each_file_of_a_data_folder_is_decoded_or_named_with_its_reason(corpus):
    root = corpus[0].path.parent.parent
    found = [Found(f"0_real/{case.name}", case.name, 0) for case in corpus]
    start = time.monotonic()
    results = {item.stem: result for item, result in decode_all(root, found, 32, 50, threads=2)}
    assert time.monotonic() - start < 120  # seconds, on a busy core; nothing is waited for
    for case in corpus:
        result = results[case.name]
        reason = str(result) if isinstance(result, BadImage) else ""
        words = "outside" if case.outside else case.words if case.text else "a manifest cannot hold"
        assert words in reason, case.name
        assert bool(words) == bool(reason), f"{case.name}: {reason}"
        assert printable(reason) == reason
        assert "secret" not in reason


def test_the_search_finds_the_files_and_enters_no_link(corpus):
    folder = corpus[0].path.parent
    (folder.parent / "1_fake").mkdir()
    (folder.parent / "1_fake" / "a.png").write_bytes(encoded("PNG"))
    (folder / "up").symlink_to("..")
    found = {item.path for item in find_images(folder.parent, "0_real", "1_fake") if item.label == 0}
    assert found == {f"0_real/{case.name}" for case in corpus if not case.path.is_dir()}


class Brightness:
    card = {"image_size": 32, "threshold": 0.25}  # noqa: RUF012

    def scores(self, pixels, rows):
        return pixels[rows].mean((1, 2, 3)) / 255


def test_each_file_that_comes_from_outside_is_answered_by_its_row(corpus):
    folder = corpus[0].path.parent
    found = predict_images(Brightness(), corpus, lambda case: [decode(case.path, 32, 50, folder)], None)
    for case, (one,) in zip(corpus, found, strict=True):
        assert (one.problem == "") == (case.readable and not case.outside), f"{case.name}: {one.problem}"
        assert printable(one.problem) == one.problem
    sent = [
        case for case in corpus if case.path.is_file() and not case.outside and case.path.stat().st_size < 50_000_000
    ]
    table = predict_table(Brightness(), [case.path.read_bytes() for case in sent])
    assert (table["problem"] == "").tolist() == [case.readable for case in sent]
    assert all(case.words in problem for case, problem in zip(sent, table["problem"], strict=True))


def peak(code: str, *arguments: str) -> tuple[float, str]:
    """Megabytes that `code` adds to the process's memory at most, beyond the imports before it, and what it wrote to stderr."""
    program = f"""
import sys
from pathlib import Path
from fakeface.images.decode import *
from fakeface.images.store import decode_all
import PIL.BmpImagePlugin, PIL.JpegImagePlugin, PIL.PngImagePlugin, PIL.TiffImagePlugin, PIL.WebPImagePlugin
def high():
    return next(int(line.split()[1]) / 1000 for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = high()
{code}
print(high() - before)
"""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=env, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return float(result.stdout), result.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_the_corpus_takes_little_memory(corpus):
    code = """
folder = Path(sys.argv[1])
found = [Found(path.name, path.stem, 0) for path in sorted(folder.iterdir())]
assert len(list(decode_all(folder, found, 256, 50, 4))) == len(found)"""
    megabytes, stderr = peak(code, str(corpus[0].path.parent))
    assert megabytes < 500
    assert "Traceback" not in stderr
    assert "Warning" not in stderr


def largest(kind: str, mode: str, **options: object) -> bytes:
    """A picture of 49 megapixels, lying on its side."""
    ramp = Image.linear_gradient("L").resize((7000, 7000))
    deep = Image.fromarray(np.asarray(ramp).astype(np.uint16) * 257)
    image = deep if mode == "I;16" else Image.merge(mode, [ramp] * len(mode))
    return encoded(kind, image, exif=exif(6), **options)


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("WEBP", "RGBA", {"lossless": True, "method": 0, "quality": 0, "exact": True}),
        ("PNG", "RGBA", {"compress_level": 1}),
        ("PNG", "I;16", {"compress_level": 1}),
        ("JPEG", "RGB", {"progressive": True, "subsampling": 0, "quality": 30}),
        ("JPEG", "CMYK", {"progressive": True, "subsampling": 0, "quality": 30}),
        ("TIFF", "RGBA", {"compression": "tiff_adobe_deflate", "tiffinfo": {278: 7000}}),
    ],
)
def test_the_largest_pictures_take_less_than_a_gigabyte_on_several_threads(tmp_path, kind, mode, options):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(largest(kind, mode, **options))
    code = """
found = [Found(name, name, 0) for name in "ab"]
for _, image in decode_all(Path(sys.argv[1]), found, 256, 50, 2):
    assert (image.width, image.height) == (7000, 7000)"""
    assert peak(code, str(tmp_path))[0] < 1000


def test_threads_together_decode_no_more_than_a_bounded_number_of_pixels(monkeypatch):
    monkeypatch.setattr(images, "PIXELS_AT_ONCE", 100)
    lock, at_once, most = threading.Lock(), [], []

    def work(size: int) -> None:
        with images._room(size):
            with lock:
                at_once.append(size)
                most.append(sum(at_once))
            time.sleep(0.002)
            with lock:
                at_once.remove(size)

    sizes = [30, 60, 250, 10, 90, 45, 45, 10, 100, 1] * 4
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, sizes))
    assert max(most) == 250  # alone, for no thread can make it smaller
    assert sorted(total for total in most if total > 100) == [250] * 4
    assert any(total > 60 and total != 90 and total not in sizes for total in most)  # side by side where there is room


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_as_pillow_does(kind, orientation):
    options = {"tiffinfo": {274: orientation}} if kind == "TIFF" else {"exif": exif(orientation)}
    data = encoded(kind, **options)
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    assert np.array_equal(pixels(data), square(upright))
    assert (decode_bytes(data, 64, 50).width > decode_bytes(data, 64, 50).height) == (orientation < 5)


def test_alpha_is_dropped_and_the_stored_colours_count():
    image = picture()
    for data in (
        encoded("PNG", with_alpha(image)),
        encoded("TIFF", with_alpha(image)),
        encoded("WEBP", with_alpha(image), lossless=True, exact=True),
    ):
        assert np.array_equal(pixels(data), square(image))


def test_palette_and_black_and_white_give_their_colours():
    palette = picture().quantize(16)
    expected = square(palette.convert("RGB"))
    assert np.array_equal(pixels(encoded("PNG", palette)), expected)
    assert np.array_equal(pixels(encoded("PNG", palette, transparency=bytes(range(0, 256, 16)))), expected)
    assert set(np.unique(pixels(encoded("PNG", Image.new("1", (64, 64), 1))))) == {255}


def test_16_bits_are_rounded_to_8_in_every_container():
    levels = np.random.default_rng(0).integers(0, 65536, (64, 64), dtype=np.uint16)
    levels[0, :4] = [0, 128, 129, 65535]
    expected = np.floor(levels / 257 + 0.5).astype(np.uint8)[None].repeat(3, 0)
    assert expected[0, 0, :4].tolist() == [0, 0, 1, 255]
    for data in (
        encoded("PNG", Image.fromarray(levels)),
        encoded("TIFF", Image.fromarray(levels)),
        encoded("TIFF", Image.frombytes("I;16B", (64, 64), levels.astype(">u2").tobytes())),
    ):
        assert np.array_equal(pixels(data), expected)


@pytest.mark.parametrize(
    ("inks", "colour"), [((0, 0, 0, 0), (255, 255, 255)), ((0, 255, 255, 0), (255, 0, 0)), ((9, 99, 0, 255), (0, 0, 0))]
)
def test_inks_are_not_taken_for_their_opposite(inks, colour):
    """Adobe writes CMYK into JPEG inverted, and says so; TIFF holds it straight."""
    image = Image.new("CMYK", (64, 64), inks)
    for data in (encoded("JPEG", image, quality=100), encoded("TIFF", image)):
        assert np.abs(pixels(data).astype(int) - np.reshape(colour, (3, 1, 1))).max() <= 4


def test_the_first_frame_or_page_counts():
    frames = [picture(seed=k) for k in range(3)]
    more = {"save_all": True, "append_images": frames[1:]}
    for data in (
        encoded("PNG", frames[0], **more),
        encoded("TIFF", frames[0], **more),
        encoded("WEBP", frames[0], lossless=True, **more),
    ):
        assert np.array_equal(pixels(data), square(frames[0]))


def test_what_stands_before_and_behind_a_picture_changes_no_pixel():
    plain = {kind: pixels(encoded(kind)) for kind in ("JPEG", "PNG")}
    like = {"exif_noise.jpg", "profile_noise.jpg", "profile_huge.jpg", "comment.jpg", "fill_bytes.jpg",
            "with_archive.jpg", "two_images.jpg", "exif_overlaps.png", "with_page.png", "script_in_text.png",
            "claims_frames.png", "profile_empty.png"}  # fmt: skip
    seen = {name: data for name, data, _ in contents() if name in like}
    assert set(seen) == like
    for name, data in seen.items():
        assert np.array_equal(pixels(data), plain["PNG" if name.endswith("png") else "JPEG"]), name


def test_the_data_folder_may_be_a_link_but_no_class_folder_may_lead_out_of_it(tmp_path):
    for name in ("0_real", "1_fake"):
        (tmp_path / "there" / name).mkdir(parents=True)
        (tmp_path / "there" / name / "a.png").write_bytes(encoded("PNG"))
    (tmp_path / "data").symlink_to("there")
    found = find_images(tmp_path / "data", "0_real", "1_fake")
    assert all(isinstance(image, Decoded) for _, image in decode_all(tmp_path / "data", found, 32, 50, 1))

    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "0_real").symlink_to("../there/0_real")
    (tmp_path / "other" / "1_fake").mkdir()
    with pytest.raises(UserError, match=r"is a link to a place outside the data folder; set split\.data"):
        find_images(tmp_path / "other", "0_real", "1_fake")


def test_links_into_the_cache_of_dvc_are_followed_and_nothing_else_of_its_kind(tmp_path):
    data = encoded("PNG")
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    cached = tmp_path / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(data)
    link = tmp_path / "data" / "a.png"
    link.parent.mkdir()
    link.symlink_to(cached)
    assert read_file(link, tmp_path / "data") == data
    cached.write_bytes(encoded("BMP"))  # no longer what its name says: not DVC's
    with pytest.raises(BadImage, match="outside"):
        read_file(link, tmp_path / "data")


def test_a_neighbour_whose_name_begins_alike_is_outside(tmp_path):
    for name in ("data", "data2"):
        (tmp_path / name).mkdir()
    (tmp_path / "data2" / "a.png").write_bytes(encoded("PNG"))
    for path in (tmp_path / "data" / ".." / "data2" / "a.png", tmp_path / "data2" / "a.png"):
        with pytest.raises(BadImage, match="outside"):
            read_file(path, tmp_path / "data")


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000, "\ud800.png", ""])
def test_names_that_no_file_can_have_are_bad(tmp_path, name):
    with pytest.raises(BadImage, match=r"cannot be read|regular file"):
        decode(os.path.join(tmp_path, name), 32, 50)


# ------------------------------------------------------------------ fuzz

SEEDS = [data for _, data, _ in contents() if 0 < len(data) < 60_000]


@given(
    data=st.sampled_from(SEEDS),
    edits=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 4), st.binary(max_size=8)), min_size=1, max_size=8
    ),
    other=st.sampled_from(SEEDS),
    end=st.just(1.0) | st.floats(0, 1),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_mutated_files_are_decoded_or_bad(data, edits, other, end):
    """Valid and odd files with bytes changed, cut out, put in, and pieces of other files: nothing but BadImage is raised."""
    for place, kind, some in edits:
        at = int(place * len(data))
        if kind == 0:  # early bytes are headers
            at = min(at, 64) if at % 2 else at
            data = data[:at] + some + data[at + len(some) :]
        elif kind == 1:
            data = data[:at] + data[at + 4 * len(some) :]
        elif kind == 2:
            data = data[:at] + some * 40 + data[at:]
        elif kind == 3:
            start = int(place * len(other))
            data = data[:at] + other[start : start + 200] + data[at:]
        elif data:
            data = data[:at] + bytes([data[min(at, len(data) - 1)] ^ (1 << len(some) % 8)]) + data[at + 1 :]
    start = time.monotonic()
    outcome(data[: int(end * len(data))])
    assert time.monotonic() - start < 20
