"""`fakeface normalise`: reals as JPEG and fakes as PNG come out alike, and nothing is lost on the way."""

import numpy as np
import pytest
from conftest import write_faces
from PIL import Image
from typer.testing import CliRunner

from fakeface.cli.commands import app
from fakeface.core.errors import UserError


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["normalise", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == code
    return result.output


@pytest.fixture
def faces(tmp_path, monkeypatch):
    """Reals as JPEG with metadata, fakes as PNG of another size, in sub-folders."""
    monkeypatch.chdir(tmp_path)
    write_faces(tmp_path / "a", 4)
    (tmp_path / "a/1_fake/gan").mkdir()
    for path in sorted((tmp_path / "a/1_fake").glob("*.jpg")):
        Image.open(path).resize((130, 180)).save(tmp_path / "a/1_fake/gan" / f"{path.stem}.png")
        path.unlink()
    for path in (tmp_path / "a/0_real").glob("*.jpg"):
        exif = Image.Exif()
        exif[0x0131] = "a camera"
        Image.open(path).save(path, exif=exif)
    return tmp_path / "a"


def test_images_that_are_enlarged_are_counted(faces):
    sides = []
    for path in faces.rglob("*.*"):
        with Image.open(path) as image:
            sides.append(min(image.size))
    assert f"note: {sum(side < 120 for side in sides)} of 8 images were smaller than 120 pixels" in run(
        faces, "b", "--size", 120
    )
    assert f"with --size {min(sides)}, none is enlarged" in run(faces, "c", "--size", 512)
    assert "enlarged" not in run(faces, "d", "--size", min(sides))


@pytest.mark.parametrize("options", [(), ("--png",)])
def test_all_come_out_alike(faces, tmp_path, options):
    said = run(faces, "b", "--size", 64, *options)
    assert "8 images of 64 x 64 pixels" in said
    assert "Not made equal" in said
    kinds = set()
    for path in (tmp_path / "b").rglob("*.*"):
        with Image.open(path) as image:
            kinds.add(
                (
                    image.format,
                    image.size,
                    image.mode,
                    path.suffix,
                    *map(str, getattr(image, "quantization", {}).values()),
                )
            )
            assert not image.getexif()
    assert len(kinds) == 1
    names = {path.relative_to(tmp_path / "b").with_suffix("").as_posix() for path in (tmp_path / "b").rglob("*.*")}
    assert names == {f"{folder}/{number:04d}" for folder in ("0_real", "1_fake/gan") for number in range(4)}


def test_png_has_no_quality(faces, tmp_path):
    assert "give --quality or --png" in run(faces, "b", "--png", "--quality", 80, code=2)
    assert not (tmp_path / "b").exists()


def test_nothing_is_lost_or_left_out_in_silence(faces, tmp_path):
    Image.fromarray(np.zeros((80, 80, 3), np.uint8)).save(faces / "0_real/0000.png")
    (faces / "0_real/0001.jpg").write_bytes(b"no picture")
    (faces / "0_real/notes.txt").write_text("x")
    (faces / "0_real/._0002.jpg").write_text("x")
    said = run(faces, "b", code=1)
    assert "0_real/0001.jpg: is not in a known image format" in said
    assert "1 files of other types ignored" in said
    assert {path.name for path in (tmp_path / "b/0_real").iterdir()} == {
        "0000.jpg",
        "0000-png.jpg",
        "0002.jpg",
        "0003.jpg",
    }
    with pytest.raises(UserError, match="already exists"):
        run(faces, "b")
    with pytest.raises(UserError, match="outside it"):
        run(faces, faces / "c")
    with pytest.raises(UserError, match="No such file or directory"):
        run(tmp_path / "nowhere", "c")
    for path in list(faces.rglob("*.*g")):
        path.write_bytes(b"no picture")
    with pytest.raises(UserError, match="none of its 9 images"):
        run(faces, "c")
    assert not (tmp_path / "c").exists()


def test_names_that_meet_get_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s").mkdir()
    for i, name in enumerate(["a-png.jpg", "a.jpg", "a.png", "a.webp", "a-webp.png"]):
        Image.new("RGB", (40, 40), (40 * i, 0, 0)).save(tmp_path / "s" / name)
    assert "5 images" in run("s", "b", "--png", "--size", 32)
    assert len({path.read_bytes() for path in (tmp_path / "b").iterdir()}) == 5
