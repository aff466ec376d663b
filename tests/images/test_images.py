"""Files are untrusted: a file is decoded as torchvision would, or it is a BadImage; nothing else."""

import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize

from fakeface.core.errors import UserError
from fakeface.images.decode import BadImage, Decoded, centre_square, decode, find_images

MEGA = 50.0


def picture(width, height, seed=0):
    """Smooth blobs with noise: what a resize does to it shows everywhere."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize((width, height))
    noisy = np.asarray(coarse).astype(int) + rng.integers(-30, 30, (height, width, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


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


def test_image_of_the_stored_size_is_copied_exactly(tmp_path):
    image = picture(48, 48)
    image.save(tmp_path / "x.png")
    assert np.array_equal(decode(tmp_path / "x.png", 48, MEGA).pixels, np.asarray(image).transpose(2, 0, 1))


def test_decoded_says_what_the_file_is(tmp_path):
    data = encoded(picture(50, 40), "JPEG")
    (tmp_path / "x.png").write_bytes(data)  # the name says PNG, the content decides
    image = decode(tmp_path / "x.png", 32, MEGA)
    assert (image.width, image.height, image.format) == (50, 40, "JPEG")
    assert image.sha256 == hashlib.sha256(data).hexdigest()
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize(("orientation", "turn"), [(3, 180), (6, 270), (8, 90)])
def test_exif_orientation_is_applied(tmp_path, orientation, turn):
    image = picture(60, 40)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "x.png", exif=exif)
    upright = image.rotate(turn, expand=True)
    got = decode(tmp_path / "x.png", 32, MEGA)
    assert (got.width, got.height) == upright.size
    assert np.array_equal(got.pixels, np.asarray(centre_square(upright, 32)).transpose(2, 0, 1))


# ------------------------------------------------------------------ modes


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("1", "PNG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("P", "PNG"),
        ("RGBA", "PNG"),
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("RGBA", "WEBP"),
        ("RGB", "BMP"),
        ("CMYK", "TIFF"),
        ("RGBA", "TIFF"),
    ],
)
def test_every_colour_mode_gives_rgb_bytes(tmp_path, mode, kind):
    picture(50, 40).convert(mode).save(tmp_path / "x", kind)
    image = decode(tmp_path / "x", 32, MEGA)
    assert (image.pixels.shape, image.pixels.dtype, image.format) == ((3, 32, 32), np.uint8, kind)
    assert image.pixels.std() > 5


def test_grey_image_has_three_equal_channels(tmp_path):
    picture(40, 40).convert("L").save(tmp_path / "x.png")
    red, green, blue = decode(tmp_path / "x.png", 32, MEGA).pixels
    assert np.array_equal(red, green)
    assert np.array_equal(red, blue)


def test_16_bit_grey_keeps_its_grey_levels(tmp_path):
    ramp = np.linspace(0, 65535, 32).astype(np.uint16)[None].repeat(32, 0)
    Image.fromarray(ramp).save(tmp_path / "x.png")
    pixels = decode(tmp_path / "x.png", 32, MEGA).pixels
    assert (pixels.shape, pixels.dtype) == ((3, 32, 32), np.uint8)
    assert np.abs(pixels[0, 0].astype(int) - (ramp[0] / 257)).max() <= 1


def test_16_bit_colour_keeps_its_grey_levels(tmp_path):
    """Pillow cannot write one, so by hand: one IDAT, filter 0, big-endian 16-bit RGB."""
    size, value = 32, 0x8000
    rows = b"".join(b"\0" + struct.pack(">H", value) * 3 * size for _ in range(size))
    (tmp_path / "x.png").write_bytes(png(size, size, 16, 2, rows))
    assert (decode(tmp_path / "x.png", 32, MEGA).pixels == 128).all()


def png(width, height, depth, colour, rows):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


# ------------------------------------------------------------------ bad files


def test_missing_file_is_bad(tmp_path):
    assert "cannot be read" in reason(tmp_path / "x.jpg")


def test_folder_is_bad(tmp_path):
    assert "no regular file" in reason(tmp_path)


def test_empty_file_is_bad(tmp_path):
    (tmp_path / "x.jpg").touch()
    assert "0 bytes" in reason(tmp_path / "x.jpg")


def test_text_named_jpg_is_bad(tmp_path):
    (tmp_path / "x.jpg").write_text("not an image")
    assert "no known image format" in reason(tmp_path / "x.jpg")


@pytest.mark.parametrize("kind", ["GIF", "ICO", "PPM", "PDF"])
def test_formats_that_are_not_allowed_are_bad_whatever_their_name(tmp_path, kind):
    (tmp_path / "x.jpg").write_bytes(encoded(picture(40, 40), kind))
    assert "in no known image format" in reason(tmp_path / "x.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9, 0.97])
def test_truncated_file_is_bad(tmp_path, kind, part):
    data = encoded(picture(120, 100), kind)
    (tmp_path / "x").write_bytes(data[: int(part * len(data))])
    reason(tmp_path / "x")


def test_png_with_a_wrong_checksum_is_bad(tmp_path):
    data = bytearray(encoded(picture(40, 40), "PNG"))
    data[30] ^= 1  # inside the header's checksum
    (tmp_path / "x.png").write_bytes(data)
    reason(tmp_path / "x.png")


def test_image_above_the_limit_is_refused_before_it_is_decoded(tmp_path):
    data = encoded(picture(200, 150), "JPEG")
    (tmp_path / "x.jpg").write_bytes(data[: len(data) // 2])  # would be damaged if it were decoded
    assert "200 x 150 pixels" in reason(tmp_path / "x.jpg", mega=0.02)


def test_image_at_the_limit_is_decoded(tmp_path):
    picture(200, 150).save(tmp_path / "x.jpg")
    decode(tmp_path / "x.jpg", 32, 0.03)


@pytest.mark.parametrize("side", [8_000, 12_000, 30_000, 2_000_000])
def test_header_that_promises_a_huge_image_is_refused_for_its_size(tmp_path, side):
    (tmp_path / "x.png").write_bytes(png(side, side, 8, 2, b""))
    message = reason(tmp_path / "x.png")
    assert "pixels" in message
    assert "damaged" not in message


@pytest.mark.parametrize(("width", "height"), [(1, 60_000), (60_000, 1)])
def test_thin_stripe_is_refused_before_its_resize_fills_the_memory(tmp_path, monkeypatch, width, height):
    """60000 pixels weigh nothing; scaled until the shorter side is 256 they are 3.9 gigapixels."""

    def guarded(self, size, *args, resize=Image.Image.resize, **kwargs):
        assert size[0] * size[1] < 200e6, f"resize to {size}"
        return resize(self, size, *args, **kwargs)

    monkeypatch.setattr(Image.Image, "resize", guarded)
    Image.new("RGB", (width, height)).save(tmp_path / "x.png")
    reason(tmp_path / "x.png", size=256)


JPEG = encoded(picture(60, 50), "JPEG")
PNG = encoded(picture(30, 20), "PNG")
FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def decoded_or_bad(folder, data):
    path = folder / "x.jpg"
    path.write_bytes(data)
    try:
        image = decode(path, 32, MEGA)
    except BadImage as error:
        message = str(error)
    else:
        assert isinstance(image, Decoded)
        assert image.pixels.shape == (3, 32, 32)
        return
    assert len(message.splitlines()) == 1


@given(data=st.binary(max_size=200))
@FUZZ
def test_random_bytes_are_decoded_or_bad(tmp_path, data):
    decoded_or_bad(tmp_path, data)


@given(
    kind=st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"RIFF____WEBP"]), data=st.binary()
)
@FUZZ
def test_random_bytes_behind_a_true_signature_are_decoded_or_bad(tmp_path, kind, data):
    decoded_or_bad(tmp_path, kind + data)


@given(
    whole=st.sampled_from([JPEG, PNG]),
    end=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=6),
)
@FUZZ
@pytest.mark.filterwarnings("ignore")
def test_cut_and_flipped_files_are_decoded_or_bad(tmp_path, whole, end, flips):
    data = bytearray(whole)
    for place, mask in flips:
        data[int(place * len(data))] ^= mask
    decoded_or_bad(tmp_path, bytes(data[: int(end * len(data))]))
