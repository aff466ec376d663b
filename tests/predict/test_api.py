"""`import fakeface`: the same verdicts as `fakeface predict`, from paths, bytes, Pillow images and arrays."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_predict import CROP, FRAMING, ask, model, root, write_detector  # noqa: F401  (fixtures)

import fakeface


@pytest.fixture
def detector(root):  # noqa: F811
    return fakeface.load_detector("finetune")


def test_a_table_of_what_predict_says(root, detector, capsys):  # noqa: F811
    Path("broken.jpg").write_bytes(b"no image")
    names = ["faces", "broken.jpg", "missing.jpg"]
    assert ask(*names, fast=False, format="jsonl", model="finetune") == 1
    wanted = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    table = detector.predict(names)
    assert list(table.columns) == ["path", "score", "verdict", "problem", "note", "says"]
    found = table.to_dict("records")
    assert len(found) == 8
    for one, other in zip(found, wanted, strict=True):
        assert one.pop("score") == pytest.approx(other["score"] or np.nan, abs=1e-8, nan_ok=True)
        assert one == {key: other[key] for key in one}
    assert set(table["verdict"]) <= {"real", "fake", "unsure", ""}
    assert set(detector.predict("faces", fast=True)["verdict"]) <= {"real", "fake"}


def test_every_kind_of_picture_gets_the_same_score(root, detector):  # noqa: F811
    path = Path("faces/0_real/0000.jpg")
    picture = Image.open(path).convert("RGB")
    several = [path, str(path), path.read_bytes(), picture, np.asarray(picture), picture.convert("L")]
    table = detector.predict(several)
    assert list(table["path"]) == [str(path), str(path), *(f"image {number}" for number in range(2, 6))]
    assert table["score"][:5].nunique() == 1
    assert table["problem"].eq("").all()
    turned = Image.Exif()
    turned[0x0112] = 6  # turned a quarter
    picture.save("turned.jpg", exif=turned, quality=95)
    picture.convert("CMYK").save("cmyk.jpg", quality=95)
    for name in ("turned.jpg", "cmyk.jpg"):
        scores = detector.predict([name, Image.open(name)], fast=True)["score"]
        assert scores.iloc[0] == pytest.approx(scores.iloc[1], abs=1e-6), name
    assert detector.predict(picture)["score"][0] == pytest.approx(table["score"][0], abs=1e-6)  # in another batch
    assert detector.predict(iter([]))["score"].tolist() == []


def test_what_pillow_cannot_decode_is_a_row_with_the_problem(root, detector):  # noqa: F811
    whole = Path("faces/0_real/0000.jpg").read_bytes()
    closed = Image.open(io.BytesIO(whole))
    closed.close()
    with Image.open(io.BytesIO(whole[: len(whole) // 2])) as cut:
        table = detector.predict([cut, closed, whole])
    assert table["problem"].str.startswith("cannot be decoded").tolist() == [True, True, False]


@pytest.mark.parametrize("band", [-0.1, 1.5, float("nan"), None, "x"])
def test_a_band_that_is_none_is_refused(root, detector, band):  # noqa: F811
    with pytest.raises(fakeface.UserError, match="must be a number from 0 to 1"):
        detector.predict("faces", band=band)


@pytest.mark.parametrize(
    ("picture", "answer"),
    [
        (Image.new("F", (4, 4)), "a Pillow image of mode F; convert it to RGB first"),
        (np.zeros((4, 4), np.uint8), r"an array of uint8 \[4, 4\]; give uint8 \[H, W, 3\]"),
        (np.zeros((4, 4, 3)), "an array of float64"),
        ([None], "NoneType: no image"),
    ],
)
def test_what_is_no_picture_is_named(detector, picture, answer):
    with pytest.raises(fakeface.UserError, match=answer):
        detector.predict(picture)


def test_a_detector_of_drawings_warns(tmp_path):
    write_detector(tmp_path / "detector", drawings=True)
    detector = fakeface.load_detector(tmp_path / "detector")
    with pytest.warns(UserWarning, match="drawings") as said:
        detector.predict(np.full((200, 200, 3), 255, np.uint8))
    assert said[0].filename == __file__


def test_faces_have_their_squares_and_maps(tmp_path):
    write_detector(tmp_path / "detector", faces=FRAMING)
    detector = fakeface.load_detector(tmp_path / "detector")
    face = np.asarray(Image.open(io.BytesIO(portrait())))
    table = detector.predict([face, np.full((200, 200, 3), 255, np.uint8)])
    assert list(table.columns[1:6]) == ["face", "left", "top", "right", "bottom"]
    assert table["note"].iloc[-1] == "no face found"
    assert np.isnan(table["score"].iloc[-1])
    maps = detector.explain(face)
    assert [one.size for one in maps] == [(2 * CROP, CROP)] * (len(table) - 1)
    assert detector.explain(np.full((200, 200, 3), 255, np.uint8)) == []
    assert detector.explain(face, whole=True)[0].size == (2 * CROP, CROP)


def portrait() -> bytes:
    from fakeface.sample.portraits import draw_portrait

    file = io.BytesIO()
    Image.fromarray(draw_portrait(0)).save(file, "PNG")
    return file.getvalue()


def test_what_cannot_be_explained_is_named(root, detector):  # noqa: F811
    for picture, answer in (("faces", "6 images; explain takes one"), (b"no image", "image 0: the image")):
        with pytest.raises(fakeface.UserError, match=answer):
            detector.explain(picture)


def test_card_and_name(detector):
    assert detector.card["network"] == "mynet"
    detector.card["network"] = "other"
    assert detector.card["network"] == "mynet"
    assert repr(detector).startswith("<fakeface.Detector finetune ")
    with pytest.raises(fakeface.UserError, match="no such detector"):
        fakeface.load_detector("nowhere")


def test_importing_fakeface_imports_nothing_heavy():
    code = "import sys, fakeface; print(sorted({'torch', 'numpy', 'pydantic', 'pandas'} & set(sys.modules)), dir(fakeface)[:1])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("[]")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fakeface.nothing  # noqa: B018
    assert [getattr(fakeface, name).__name__ for name in fakeface.__all__] == fakeface.__all__
