"""What of a folder is data, and what is left out is counted."""

import os
import unicodedata

import pytest

from fakeface.core.errors import UserError
from fakeface.images.decode import find_images
from fakeface.images.listing import is_litter, left_out, walk


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


LITTER = """._0001.jpg .hidden.png .ipynb_checkpoints/1.jpg a/.git/b/1.jpg __MACOSX/1.jpg a/__macosx/b/1.jpg Thumbs.db
thumbs.db/1.jpg Desktop.ini @eaDir/1.jpg .DS_Store"""


@pytest.mark.parametrize("name", LITTER.split())
def test_litter_is_neither_data_nor_counted(tmp_path, name):
    fill(tmp_path, "r/1.jpg", "f/1.jpg", f"r/{name}", f"f/{name}", name)
    assert [image.path for image in find_images(tmp_path, "r", "f")] == ["r/1.jpg", "f/1.jpg"]
    assert left_out(tmp_path, "r", "f") == {}


def test_names_that_only_resemble_litter_are_data():
    assert not any(map(is_litter, ["macosx", "thumbs.jpg", "a.b.jpg", "_1.jpg", "desktop", "…jpg"]))


def test_every_other_file_is_counted_by_kind(tmp_path):
    fill(tmp_path, "r/1.jpg", "r/2.JFIF", "r/3.mp4", "r/x/4.MP4", "r/5.avif", "f/1.jpeg", "f/note", "f/b.gif")
    fill(tmp_path, "readme.md", "third/1.jpg", "third/x/2.jpg", "other/1.png")
    os.symlink(tmp_path / "third", tmp_path / "r" / "more")
    assert [image.path for image in find_images(tmp_path, "r", "f")] == ["r/1.jpg", "r/2.JFIF", "r/5.avif", "f/1.jpeg"]
    assert left_out(tmp_path, "r", "f") == {
        "gif files": 1,
        "files beside the class folders": 1,
        "files in other": 1,
        "files in third": 2,
        "files without a suffix": 1,
        "links to folders": 1,
        "mp4 files": 2,
    }


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path):
    fill(tmp_path, "r/a/1.jpg")
    with pytest.raises(UserError, match=r"gone: this folder cannot be read"):
        walk(tmp_path / "gone")


def test_the_order_does_not_depend_on_the_unicode_form(tmp_path):
    names = ["é1.jpg", "f.jpg", "e.jpg", "z/1.jpg"]
    for form in ("NFC", "NFD"):
        fill(tmp_path / form, *(unicodedata.normalize(form, name) for name in names))
    composed, decomposed = (walk(tmp_path / form)[0] for form in ("NFC", "NFD"))
    assert [unicodedata.normalize("NFC", str(path)) for path in decomposed] == [str(path) for path in composed]
