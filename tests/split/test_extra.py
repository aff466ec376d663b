"""Further test folders: decoded as the split stage does, one class or two, and clear words for what is wrong."""

import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from PIL import Image

from fakeface.core.errors import UserError
from fakeface.core.load import load_params
from fakeface.images.decode import decode, find_images
from fakeface.images.degrade import jpeg, resize
from fakeface.images.store import Dataset
from fakeface.split.extra import find_extra, read_extra, seen_in_training

PARAMS = load_params(ROOT / "recipes" / "default.yaml")


def read(folder, tmp_path, on_bad_image="fail"):
    found = find_extra("other", str(folder), "0_real", "1_fake")
    base = PARAMS.base.model_copy(update={"image_size": 64})
    split = PARAMS.split.model_copy(update={"on_bad_image": on_bad_image})
    return read_extra(folder, found, tmp_path / "pixels.npy", base, split)


def refusal(function, *arguments, **named):
    with pytest.raises(UserError) as caught:
        function(*arguments, **named)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_images_are_found_and_decoded_as_in_the_split(faces, tmp_path):
    extra, bad = read(faces, tmp_path)
    assert find_extra("other", str(faces), "0_real", "1_fake") == find_images(faces, "0_real", "1_fake")
    assert extra.manifest["path"].tolist() == [image.path for image in find_images(faces, "0_real", "1_fake")]
    assert extra.labels.tolist() == [0] * 12 + [1] * 12
    for row in (0, 11, 23):
        image = decode(faces / extra.manifest["path"][row], 64, 50.0)
        assert np.array_equal(extra.pixels[row], image.pixels)
        assert extra.manifest["sha256"][row] == image.sha256
    assert bad == []


def test_a_fake_and_its_photo_are_of_one_source(faces, tmp_path):
    source = read(faces, tmp_path)[0].manifest["source"]
    assert source[:12].tolist() == source[12:].tolist() == list(range(12))


@pytest.mark.parametrize(("gone", "label"), [("1_fake", 0), ("0_real", 1)])
def test_one_class_is_enough(faces, tmp_path, gone, label):
    shutil.rmtree(faces / gone)
    extra, _ = read(faces, tmp_path)
    assert extra.labels.tolist() == [label] * 12
    assert extra.manifest["source"].nunique() == 12


def test_missing_folder_names_its_key():
    message = refusal(find_extra, "other", "no/such", "0_real", "1_fake")
    assert "evaluate.extra_sets.other" in message
    assert "no/such" in message


def test_folder_without_class_folders_says_which_it_needs(faces):
    message = refusal(find_extra, "other", str(faces / "0_real"), "0_real", "1_fake")
    assert "neither 0_real nor 1_fake" in message
    assert "evaluate.extra_sets.other" in message


def test_empty_class_folder_is_refused_rather_than_taken_for_missing(faces):
    shutil.rmtree(faces / "1_fake")
    (faces / "1_fake").mkdir()
    assert "1_fake: no image" in refusal(find_extra, "other", str(faces), "0_real", "1_fake")


def test_bad_image_stops_or_is_left_out_as_in_the_split(faces, tmp_path):
    (faces / "0_real" / "0003.jpg").write_bytes(b"")
    message = refusal(read, faces, tmp_path)
    assert "0_real/0003.jpg: is empty" in message
    assert "split.on_bad_image" in message
    extra, bad = read(faces, tmp_path, "skip")
    assert bad == [("0_real/0003.jpg", "is empty (0 bytes)")]
    assert len(extra.manifest) == len(extra.pixels) == 23
    assert "0_real/0003.jpg" not in extra.manifest["path"].tolist()


def test_a_set_without_any_usable_image_is_refused_also_when_skipping(faces, tmp_path):
    for path in faces.rglob("*.jpg"):
        path.write_bytes(b"no image")
    assert "none of its 24 images can be used" in refusal(read, faces, tmp_path, "skip")


def photos(n, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((96, 96))).transpose(2, 0, 1) for c in coarse])


def cropped(image, left, top, side):
    part = Image.fromarray(image.transpose(1, 2, 0)).crop((left, top, left + side, top + side))
    return np.asarray(part.resize((96, 96), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


@pytest.mark.parametrize(
    "ship",
    [
        lambda image: jpeg(image, 40),
        lambda image: resize(image, 0.5),
        lambda image: image[:, :, ::-1],
        lambda image: cropped(image, 4, 4, 88),
        lambda image: cropped(image, 8, 0, 88),
        lambda image: jpeg(cropped(image, 0, 3, 92), 70),
    ],
)
def test_photos_of_the_training_set_are_known_however_they_were_shipped(ship):
    learnt, strange = photos(40), photos(3, seed=1)
    split = ["train", "val"] * 19 + ["test", "unused"]
    table = pd.DataFrame({"path": [f"r/{k}" for k in range(40)], "sha256": [str(k) for k in range(40)], "split": split})
    pixels = np.stack([ship(learnt[5]), strange[0], ship(learnt[20]), ship(learnt[38]), strange[1], strange[2]])
    other = pd.DataFrame(
        {"sha256": [*"abcd", "7", "39"]}
    )  # the last two: the bytes of one in val, of one that nothing learnt
    found = seen_in_training(Dataset(ROOT, other, pixels), Dataset(ROOT, table, learnt))
    assert found.tolist() == ["r/5", "", "r/20", "", "r/7", ""]
