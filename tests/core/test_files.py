"""Outputs appear whole or not at all."""

import hashlib
from contextlib import ExitStack

import pytest

from fakeface.core.files import sha256, whole


class Failed(Exception):
    pass


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_with_its_parents(tmp_path):
    with whole(tmp_path / "a" / "b" / "out.txt") as partial:
        partial.write_text("new")
        assert not (tmp_path / "a" / "b" / "out.txt").exists()
    assert (tmp_path / "a" / "b" / "out.txt").read_text() == "new"
    assert names(tmp_path / "a" / "b") == ["out.txt"]


def test_file_replaces_the_old_one(tmp_path):
    (tmp_path / "out.txt").write_text("old")
    with whole(str(tmp_path / "out.txt")) as partial:
        partial.write_text("new")
        assert (tmp_path / "out.txt").read_text() == "old"
    assert (tmp_path / "out.txt").read_text() == "new"


def test_folder_replaces_the_old_one_completely(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").touch()
    with whole(tmp_path / "out") as partial:
        partial.mkdir()
        (partial / "new.txt").touch()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["new.txt"]


def test_folder_replaces_a_file(tmp_path):
    (tmp_path / "out").write_text("old")
    with whole(tmp_path / "out") as partial:
        partial.mkdir()
    assert (tmp_path / "out").is_dir()


def test_link_is_replaced_and_what_it_points_at_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious.txt").touch()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    with whole(tmp_path / "out") as partial:
        partial.mkdir()
    assert not (tmp_path / "out").is_symlink()
    assert names(tmp_path / "elsewhere") == ["precious.txt"]


def fail_half_way(*paths, folder=True, error=Failed):
    with ExitStack() as stack:
        for path in paths:
            partial = stack.enter_context(whole(path))
            if folder:
                partial.mkdir()
            (partial / "half.txt" if folder else partial).write_text("half")
        raise error


@pytest.mark.parametrize("error", [Failed, KeyboardInterrupt, SystemExit])
def test_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    (tmp_path / "out.txt").write_text("old")
    with pytest.raises(error):
        fail_half_way(tmp_path / "out.txt", folder=False, error=error)
    assert names(tmp_path) == ["out.txt"]
    assert (tmp_path / "out.txt").read_text() == "old"


def test_error_leaves_the_old_folder_and_nothing_else(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").touch()
    with pytest.raises(Failed):
        fail_half_way(tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["old.txt"]


def test_error_with_two_outputs_open_leaves_neither(tmp_path):
    with pytest.raises(Failed):
        fail_half_way(tmp_path / "a", tmp_path / "b")
    assert names(tmp_path) == []


def test_block_that_writes_nothing_is_an_error_and_keeps_the_old_one(tmp_path):
    (tmp_path / "out.txt").write_text("old")
    with pytest.raises(FileNotFoundError), whole(tmp_path / "out.txt"):
        pass
    assert (tmp_path / "out.txt").read_text() == "old"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_leftover_of_a_killed_run_is_removed_first(tmp_path, kind):
    leftover = tmp_path / "out.partial"
    if kind == "file":
        leftover.write_text("half")
    else:
        leftover.mkdir()
        (leftover / "half.txt").touch()
    with whole(tmp_path / "out") as partial:
        assert not partial.exists()
        partial.mkdir()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == []


@pytest.mark.parametrize("content", [b"", b"abc", bytes(range(256)) * 5000])
def test_sha256_is_hashlibs(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()
