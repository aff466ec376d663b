"""Files are untrusted: a file is decoded as torchvision would, or it is a BadImage; nothing else."""

import hashlib
import struct
import zlib

import numpy as np
import pytest
from hostile import encoded, picture, png
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torchvision.transforms import CenterCrop, Compose, Resize

from fakeface.core.errors import UserError
from fakeface.images.decode import BadImage, centre_square, decode, find_images

MEGA = 50.0


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def reason(path, size=32, mega=MEGA):
    with pytest.raises(BadImage) as caught:
        decode(path, size, mega)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert str(path) not in message
    return message


# ------------------------------------------------------------------ find


def test_real_comes_first_then_paths_in_order(tmp_path):
    touch(tmp_path, "a_fake/2.jpg", "a_fake/10.jpg", "z_real/b.png", "z_real/a.png", "z_real/B.png")
    found = find_images(tmp_path, "z_real", "a_fake")
    assert [(item.path, item.label) for item in found] == [
        ("z_real/B.png", 0),
        ("z_real/a.png", 0),
        ("z_real/b.png", 0),
        ("a_fake/10.jpg", 1),
        ("a_fake/2.jpg", 1),
    ]


def test_nested_folders_are_searched_and_stay_in_the_stem(tmp_path):
    touch(tmp_path, "r/x/1.jpg", "r/1.jpg", "r/x/y/1.jpg", "f/1.jpg")
    found = find_images(tmp_path, "r", "f")
    assert [(item.path, item.stem) for item in found] == [
        ("r/1.jpg", "1"),
        ("r/x/1.jpg", "x/1"),
        ("r/x/y/1.jpg", "x/y/1"),
        ("f/1.jpg", "1"),
    ]


def test_class_folders_may_be_nested(tmp_path):
    touch(tmp_path, "train/r/1.jpg", "train/f/1.jpg")
    assert [item.path for item in find_images(tmp_path, "train/r", "train/f")] == ["train/r/1.jpg", "train/f/1.jpg"]


def test_suffixes_count_in_any_case_and_others_are_left_out(tmp_path):
    touch(tmp_path, *(f"r/{name}" for name in ("a.JPG", "b.Jpeg", "c.pNg", "d.webp", "e.TIF", "f.bmp", "g.tiff")))
    touch(tmp_path, "r/notes.txt", "r/x.gif", "r/jpg", "r/.jpg", "f/1.jpg")
    assert [item.path for item in find_images(tmp_path, "r", "f")][:-1] == [
        "r/a.JPG",
        "r/b.Jpeg",
        "r/c.pNg",
        "r/d.webp",
        "r/e.TIF",
        "r/f.bmp",
        "r/g.tiff",
    ]


def test_only_the_last_suffix_leaves_the_stem(tmp_path):
    touch(tmp_path, "r/a.b.jpg", "f/1.jpg")
    assert find_images(tmp_path, "r", "f")[0].stem == "a.b"


@pytest.mark.parametrize(
    ("files", "folder", "key"),
    [
        ([], "data/nowhere", "split.data"),
        (["r/1.jpg"], "", "split.fake"),
        (["f/1.jpg"], "", "split.real"),
        (["r/1.jpg", "f/readme.txt"], "", "fake faces"),
        (["r/x/readme.txt", "f/1.jpg"], "", "real faces"),
    ],
)
def test_missing_folder_or_empty_class_is_named(tmp_path, files, folder, key):
    touch(tmp_path, *files)
    with pytest.raises(UserError, match=key) as caught:
        find_images(tmp_path / folder, "r", "f")
    assert str(tmp_path / folder) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


# ------------------------------------------------------------------ geometry


@pytest.mark.parametrize("size", [32, 33])
@pytest.mark.parametrize(
    ("width", "height"),
    [
        (32, 32),
        (33, 33),
        (64, 64),
        (101, 67),
        (67, 101),
        (33, 32),
        (32, 35),
        (97, 33),
        (178, 218),
        (20, 31),
        (7, 5),
        (31, 90),
    ],
)
def test_pixels_are_torchvisions_resize_and_centre_crop(tmp_path, width, height, size):
    image = picture(width, height)
    image.save(tmp_path / "x.png")
    wanted = Compose([Resize(size), CenterCrop(size)])(image)
    assert np.array_equal(decode(tmp_path / "x.png", size, MEGA).pixels, np.asarray(wanted).transpose(2, 0, 1))


@given(width=st.integers(1, 120), height=st.integers(1, 120), size=st.integers(1, 70))
@settings(max_examples=80, deadline=None)
def test_any_size_is_cut_as_torchvision_cuts(width, height, size):
    image = picture(width, height)
    wanted = Compose([Resize(size), CenterCrop(size)])(image)
    assert np.array_equal(np.asarray(centre_square(image, size)), np.asarray(wanted))


def test_decoded_says_what_the_file_is(tmp_path):
    data = encoded("JPEG", picture(50, 40))
    (tmp_path / "x.png").write_bytes(data)  # the name says PNG, the content decides
    image = decode(tmp_path / "x.png", 32, MEGA)
    assert (image.width, image.height, image.format) == (50, 40, "JPEG")
    assert image.sha256 == hashlib.sha256(data).hexdigest()
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags["C_CONTIGUOUS"]


# ------------------------------------------------------------------ modes


def test_grey_image_has_three_equal_channels(tmp_path):
    picture(40, 40).convert("L").save(tmp_path / "x.png")
    red, green, blue = decode(tmp_path / "x.png", 32, MEGA).pixels
    assert np.array_equal(red, green)
    assert np.array_equal(red, blue)


def test_16_bit_colour_keeps_its_grey_levels(tmp_path):
    """Pillow cannot write one, so by hand: one IDAT, filter 0, big-endian 16-bit RGB."""
    size, value = 32, 0x8000
    rows = b"".join(b"\0" + struct.pack(">H", value) * 3 * size for _ in range(size))
    (tmp_path / "x.png").write_bytes(png(size, size, 16, 2, zlib.compress(rows)))
    assert (decode(tmp_path / "x.png", 32, MEGA).pixels == 128).all()


# ------------------------------------------------------------------ bad files


def test_missing_file_is_bad(tmp_path):
    assert "cannot be read" in reason(tmp_path / "x.jpg")


def test_folder_is_bad(tmp_path):
    assert "no regular file" in reason(tmp_path)


def test_image_above_the_limit_is_refused_before_it_is_decoded(tmp_path):
    data = encoded("JPEG", picture(200, 150))
    (tmp_path / "x.jpg").write_bytes(data[: len(data) // 2])  # would be damaged if it were decoded
    assert "200 x 150 pixels" in reason(tmp_path / "x.jpg", mega=0.02)


def test_image_at_the_limit_is_decoded(tmp_path):
    picture(200, 150).save(tmp_path / "x.jpg")
    decode(tmp_path / "x.jpg", 32, 0.03)


@given(
    kind=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"RIFF____WEBP"]),
    data=st.binary(),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_also_behind_a_true_signature_are_decoded_or_bad(tmp_path, kind, data):
    (tmp_path / "x.jpg").write_bytes(kind + data)
    try:
        pixels, message = decode(tmp_path / "x.jpg", 32, MEGA).pixels, "decoded"
    except BadImage as error:
        pixels, message = np.empty((3, 32, 32)), str(error)
    assert pixels.shape == (3, 32, 32)
    assert len(message.splitlines()) == 1
