"""Files are untrusted: a file is decoded as torchvision would, or it is a BadImage; nothing else."""

import hashlib
import struct
import zlib

import numpy as np
import pytest
from hostile import encoded, picture, png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize

from fakeface.core.errors import UserError
from fakeface.images.decode import FORMATS, BadImage, decode, find_images, square_pixels

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


LETTERS = ("a.JPG", "b.Jpeg", "c.pNg", "d.webp", "e.TIF", "f.bmp", "g.tiff", "h.JFIF", "i.avif")
FOUND = {
    "reals first, then by path": (["a/2.jpg", "a/10.jpg", "z/b.png", "z/a.png", "z/B.png"], "z", "a",
                                  ["z/B.png", "z/a.png", "z/b.png", "a/10.jpg", "a/2.jpg"]),
    "at any depth": (["r/x/1.jpg", "r/1.jpg", "r/x/y/1.jpg", "f/1.jpg"], "r", "f",
                     ["r/1.jpg", "r/x/1.jpg", "r/x/y/1.jpg", "f/1.jpg"]),
    "in nested class folders": (["t/r/1.jpg", "t/f/1.jpg"], "t/r", "t/f", ["t/r/1.jpg", "t/f/1.jpg"]),
    "suffixes in any case, others left out": (
        [*(f"r/{name}" for name in LETTERS), "r/notes.txt", "r/x.gif", "r/jpg", "r/.jpg", "f/1.jpg"], "r", "f",
        [*(f"r/{name}" for name in LETTERS), "f/1.jpg"]),
    "only the last suffix leaves the stem": (["r/a.b.jpg", "f/1.jpg"], "r", "f", ["r/a.b.jpg", "f/1.jpg"]),
}  # fmt: skip


@pytest.mark.parametrize(("files", "real", "fake", "wanted"), FOUND.values(), ids=FOUND.keys())
def test_images_are_found_in_order_with_label_and_stem(tmp_path, files, real, fake, wanted):
    touch(tmp_path, *files)
    found = find_images(tmp_path, real, fake)
    assert [item.path for item in found] == wanted
    assert [item.label for item in found] == [int(path.startswith(f"{fake}/")) for path in wanted]
    stems = [path.removeprefix(f"{(real, fake)[item.label]}/") for path, item in zip(wanted, found, strict=True)]
    assert [item.stem for item in found] == [stem.rsplit(".", 1)[0] for stem in stems]


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


@pytest.mark.parametrize("size", [32, 33])
@pytest.mark.parametrize(("width", "height"), [(32, 32), (101, 67), (32, 35), (178, 218), (7, 5), (31, 90)])
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
    assert np.array_equal(square_pixels(image, size), np.asarray(wanted).transpose(2, 0, 1))


def test_decoded_says_what_the_file_is(tmp_path):
    data = encoded("JPEG", picture(50, 40))
    (tmp_path / "x.png").write_bytes(data)  # the name says PNG, the content decides
    image = decode(tmp_path / "x.png", 32, MEGA)
    assert (image.width, image.height, image.format) == (50, 40, "JPEG")
    assert image.sha256 == hashlib.sha256(data).hexdigest()
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags["C_CONTIGUOUS"]


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


def test_image_above_the_limit_is_refused_before_it_is_decoded(tmp_path):
    data = encoded("JPEG", picture(200, 150))
    (tmp_path / "x.jpg").write_bytes(data[: len(data) // 2])  # would be damaged if it were decoded
    assert "200 x 150 pixels" in reason(tmp_path / "x.jpg", mega=0.02)
    (tmp_path / "x.jpg").write_bytes(data)
    decode(tmp_path / "x.jpg", 32, 0.03)  # at the limit


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_formats_of_phones_are_read_where_their_library_is_there(tmp_path, kind):
    if kind not in FORMATS:
        pytest.skip(f"no library for {kind} is installed")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    gradient = Image.linear_gradient("L").resize((60, 40)).convert("RGB")  # darkest at its top
    gradient.info["exif"] = exif.tobytes()  # HEIF's writer turns the picture only by this
    gradient.save(tmp_path / "a.jpg", kind, quality=95, **({"exif": exif} if kind == "AVIF" else {}))
    found = decode(tmp_path / "a.jpg", 40, 1)
    assert (found.format, found.width, found.height) == (kind, 40, 60)
    assert found.pixels[:, :, 0].mean() > found.pixels[:, :, -1].mean() + 100
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:200])
    with pytest.raises(BadImage, match="damaged"):
        decode(tmp_path / "a.jpg", 40, 1)
