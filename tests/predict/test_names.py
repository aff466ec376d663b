"""What was meant by a name: files, folders in a fixed order, lists; and names that would harm who reads them."""

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakeface.core.errors import printable, readable
from fakeface.predict.names import entries, picture_name, split_list

# whatever a name on a disk may hold: any byte but / and zero
NAMES = st.binary(min_size=1, max_size=40).map(lambda b: b.replace(b"/", b"_").replace(b"\0", b"_")).map(os.fsdecode)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        "b/2.JPG",
        "b/10.jpg",
        "a/x.png",
        "a/deep/y.webp",
        "a/notes.txt",
        "z.jpg",
        "none/readme",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "a" / "circle").symlink_to(tmp_path / "a")
    return tmp_path


def paths(*names):
    return [entry.path for entry in entries(names)]


def test_a_folder_gives_its_images_by_path_and_tells_of_the_others(tree):
    assert paths("a", "b") == ["a/deep/y.webp", "a/x.png", "b/10.jpg", "b/2.JPG"]
    assert [entry.others for entry in entries(["a", "b"])] == [1, 0, 0, 0]
    assert {entry.folder for entry in entries(["a"])} == {"a"}


def test_a_folder_without_images_is_a_problem(tree):
    (only,) = entries(["none"])
    assert (only.path, only.problem) == ("none", "a folder without an image; 1 other files in it")


def test_a_named_file_stands_for_itself_whatever_its_suffix_and_in_the_order_given(tree):
    assert paths("z.jpg", "a/notes.txt", "z.jpg", "missing") == ["z.jpg", "a/notes.txt", "z.jpg", "missing"]


def test_a_link_to_nowhere_is_an_entry_and_not_lost(tree):
    (tree / "dead.jpg").symlink_to("nowhere")
    assert paths("dead.jpg") == ["dead.jpg"]


@given(st.lists(NAMES, max_size=8))
def test_a_list_by_zero_bytes_gives_every_name_back(names):
    data = b"".join(os.fsencode(name) + b"\0" for name in names)
    assert split_list(data, null=True) == names


def test_a_list_by_lines_leaves_out_empty_ones():
    assert split_list(b"a.jpg\n\nb c.jpg\n \xff.jpg", null=False) == ["a.jpg", "b c.jpg", " \udcff.jpg"]


@pytest.mark.parametrize(
    "data",
    [
        b"a.jpg\r\n\r\nb c.jpg",
        b"\xef\xbb\xbfa.jpg\nb c.jpg\n",
        "\ufeffa.jpg\r\nb c.jpg\r\n".encode(),
        "\ufeffa.jpg\r\nb c.jpg\r\n".encode("utf-16-le"),
        "\ufeffa.jpg\nb c.jpg".encode("utf-16-be"),
    ],
)
def test_a_list_may_be_written_as_windows_does(data):
    assert split_list(data, null=False) == ["a.jpg", "b c.jpg"]


@given(NAMES)
def test_any_name_is_one_harmless_line_and_text_that_can_be_encoded(name):
    shown = printable(readable(name))
    assert shown.isprintable()
    assert readable(name).encode()
    if name.isprintable() and max(name) < "\udc80":
        assert shown == name


@given(NAMES, st.integers(1, 999_999), st.one_of(st.none(), st.integers(1, 99)))
def test_a_pictures_name_is_safe_on_any_disk(name, number, face):
    made = picture_name(number, name, face)
    assert re.fullmatch(r"[A-Za-z0-9_-]+\.jpg", made)
    assert len(made) < 100
    assert made != picture_name(number, name, 100)
    assert made != picture_name(number + 1, name, face)


@pytest.mark.parametrize(
    "name", ["https://example.org/a.jpg", "HTTP://x/a b.png", "ftp://x/1", "s3://b/k", "data:image/png;base64,AA"]
)
def test_an_address_is_said_to_be_one(tree, name):
    (entry,) = entries([name])
    assert entry.problem == "is an address, and nothing is downloaded; save the picture, and give its path"


@pytest.mark.parametrize("name", ["file:///tmp/a.jpg", "File:a.jpg"])
def test_an_address_of_a_file_has_a_path(tree, name):
    assert next(entries([name])).problem.endswith("give its path alone")


@pytest.mark.parametrize("name", ["data:1.jpg", "a:b.jpg", "C:\\a.jpg", "x/https://y.jpg"])
def test_a_file_with_a_colon_is_a_file(tree, name):
    (tree / "data:1.jpg").touch()
    assert next(entries([name])).problem == ""
