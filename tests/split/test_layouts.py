"""However people lay out and name their pairs, no pair stands across the splits, and the split is that of the plain layout."""

import shutil
import unicodedata

import pytest
from conftest import ROOT, write_faces

from fakeface.core.load import load_params
from fakeface.images.decode import find_images
from fakeface.split.pairs import group_images
from fakeface.split.protocols import assign, class_sizes
from fakeface.split.read import read_images

PARAMS = load_params(ROOT / "recipes" / "default.yaml")
LAYOUTS = {
    "plain": ("{}", "{}"),
    "generators": ("{}", "stargan/{}"),
    "suffix": ("{}", "{}_fake"),
    "both suffixes": ("{}_real", "{}-generated"),
    "prefix": ("img{}", "FAKE_{}"),
    "unicode": (unicodedata.normalize("NFC", "Zoé/{}"), unicodedata.normalize("NFD", "zoé/{} é")),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    write_faces(folder, 24)
    return folder


def split_of(folder, tmp_path):
    """sha256 -> split."""
    base = PARAMS.base.model_copy(update={"image_size": 64})
    found = find_images(folder, "0_real", "1_fake")
    table, looks, _ = read_images(folder, found, tmp_path / "pixels.npy", base, PARAMS.split)
    groups = group_images(table, looks, 4)
    labels = table["label"].to_numpy()
    sizes = class_sizes("fractions", 0.5, 0.25, 0.25, [24, 24], ["real", "fake"])
    return dict(zip(table["sha256"], assign(labels, groups.source, sizes, rest="train", seed=0), strict=True)), groups


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pairs_stay_whole_and_the_split_is_the_same(plain, tmp_path, layout):
    for kind, name in zip(("0_real", "1_fake"), LAYOUTS[layout], strict=True):
        for path in (plain / kind).iterdir():
            new = name.format(path.stem)
            (tmp_path / "data" / kind / new).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / "data" / kind / (new + path.suffix))
    (wanted, _), (split, groups) = split_of(plain, tmp_path), split_of(tmp_path / "data", tmp_path)
    assert split == wanted
    assert (groups.named, groups.confirmed, groups.names_trusted, groups.source.max()) == (24, 24, True, 23)
