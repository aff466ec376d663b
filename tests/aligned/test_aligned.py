"""Aligned fakes: the photo's own size and JPEG history, the same bytes every time, no weights but those asked for."""

import io
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, tiny_on_faces, write_faces
from PIL import Image, JpegImagePlugin
from ruamel.yaml import YAML

from fakeface.aligned import autoencoder
from fakeface.aligned.history import read_photo
from fakeface.aligned.stage import make_aligned
from fakeface.core.errors import UserError
from fakeface.core.params import Params
from fakeface.split.stage import split

DATA = os.environ.get("FAKEFACE_DATA", "")
SAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


def write_autoencoder(folder: Path, width: int = 4) -> Path:
    """Random weights of a narrow autoencoder of the family."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    for part, build in (("encoder", autoencoder.encoder), ("decoder", autoencoder.decoder)):
        torch.save({key: value.half() for key, value in build(width, 4, True).state_dict().items()},
                   folder / f"tiny_{part}.pth")  # fmt: skip
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder with a narrow autoencoder in it."""
    monkeypatch.chdir(tmp_path)
    write_autoencoder(tmp_path / "tiny")
    return tmp_path


def parameters(source: Path, threads: int = 1, on_bad_image: str = "fail", **aligned) -> Params:
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    values["base"]["threads"] = threads
    values["aligned"] |= {"sources": {"faces": str(source)}, "autoencoder": "tiny"} | aligned
    values["split"] |= {"data": "data/aligned/faces", "on_bad_image": on_bad_image}
    return Params.model_validate(values)


def made(folder: Path = Path("data/aligned/faces")) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


def photo(width: int, height: int, mode: str = "RGB", **options) -> bytes:
    """A JPEG file of smooth random colours."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8))
    file = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.skipif(not DATA, reason="FAKEFACE_DATA is not set: its ../weights holds taef2")
def test_a_face_comes_back_from_the_published_autoencoder_with_28_to_36_db():
    weights = Path(DATA).parent / "weights" / "taef2"
    network = autoencoder.load(str(weights))
    for path in sorted(Path(DATA, "sfhq1-256", "0_real").iterdir())[:2]:
        pixels = read_photo(path.read_bytes(), 512, 50).pixels
        error = autoencoder.round_trip(network, pixels, torch.device("cpu")) - pixels
        assert 28 < 10 * np.log10(255**2 / np.mean(error**2)) < 36
    assert {path.name for path in weights.glob("*.pth")} == set(autoencoder.SHA256)


@pytest.mark.parametrize("sampling", SAMPLING)
@pytest.mark.parametrize("quality", [40, 93])
def test_a_fake_is_compressed_with_the_tables_and_the_sampling_of_its_photo(sampling, quality):
    data = photo(112, 96, quality=quality, subsampling=sampling)
    again = read_photo(data, 512, 50).compress(np.zeros((96, 112, 3), np.uint8))
    with Image.open(io.BytesIO(data)) as first, Image.open(io.BytesIO(again)) as second:
        assert second.quantization == first.quantization
        assert JpegImagePlugin.get_sampling(second) == JpegImagePlugin.get_sampling(first) == SAMPLING[sampling]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_cut_keeps_jpegs_blocks_where_a_second_compression_has_them(orientation):
    """Compressed again with its own tables, a JPEG that starts on a block hardly changes; moved by half a block it does."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    cut = read_photo(photo(250, 330, quality=30, exif=exif), 128, 50)
    assert cut.pixels.shape == (128, 128, 3)
    change = np.abs(cut.with_history(cut.pixels).astype(int) - cut.pixels)
    moved = cut.pixels[4:124, 4:124]
    assert change.mean() < 0.4 * np.abs(cut.with_history(moved).astype(int) - moved).mean()
    upright = read_photo(photo(256, 192, exif=exif), 512, 50).upright()
    assert upright.size == ((256, 192) if orientation < 5 else (192, 256))


def test_what_is_no_jpeg_is_not_compressed_and_what_is_grey_stays_so():
    colours = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(colours).save(file, "PNG")
    assert (read_photo(file.getvalue(), 512, 50).with_history(colours) == colours).all()
    coloured = io.BytesIO()  # three channels, without a colour
    Image.open(io.BytesIO(photo(64, 64, mode="L"))).convert("RGB").save(coloured, "JPEG")
    for data in (photo(64, 64, mode="L"), coloured.getvalue()):
        fake = read_photo(data, 512, 50).with_history(colours)
        assert fake.shape == colours.shape
        assert (fake == fake[..., :1]).all()


def test_a_data_folder_comes_out_whatever_the_threads_and_the_other_photos(here):
    write_faces(here / "raw", 4)
    (here / "raw/1_fake/gan").mkdir()
    (here / "raw/1_fake/0003.jpg").rename(here / "raw/1_fake/gan/0003.jpg")
    Image.new("RGB", (70, 90), "red").save(here / "raw/0_real/0003.png")
    make_aligned(parameters(here / "raw", threads=2), "faces")
    first = made()
    reals = {f"{number:04d}.png" for number in range(4)} | {"0003-png.png"}
    fakes = {f"given/{number:04d}.png" for number in range(3)} | {"gan/0003.png"}
    assert set(first) == {f"0_real/{name}" for name in reals} | {
        f"1_fake/{name}" for name in fakes | {f"aligned/{name}" for name in reals}
    }
    for name in reals:  # neither size nor container tells them apart
        assert len(first[f"0_real/{name}"]) == len(first[f"1_fake/aligned/{name}"])
        assert first[f"0_real/{name}"] != first[f"1_fake/aligned/{name}"]
    with (
        Image.open("data/aligned/faces/0_real/0003-png.png") as image,
        Image.open(here / "raw/0_real/0000.jpg") as jpeg,
    ):
        assert image.size == (64, 88)
        with Image.open("data/aligned/faces/0_real/0000.png") as real:
            assert (np.asarray(real) == np.asarray(jpeg)).all()
    (here / "raw/0_real/0001.jpg").unlink()
    make_aligned(parameters(here / "raw"), "faces")
    assert made() == {name: data for name, data in first.items() if name.split("/")[-2:] not in
                      (["0_real", "0001.png"], ["aligned", "0001.png"])}  # fmt: skip


def test_mix_brings_the_round_trip_nearer_to_its_photo_by_a_share_of_its_own(here):
    write_faces(here / "raw", 3)
    differences = []
    for mix in (0.0, 0.9):
        make_aligned(parameters(here / "raw", mix=mix), "faces")
        pixels = [[np.asarray(Image.open(f"data/aligned/faces/{kind}/000{i}.png"), dtype=float) for i in range(3)]
                  for kind in ("0_real", "1_fake/aligned")]  # fmt: skip
        differences.append([np.abs(a - b).mean() for a, b in zip(*pixels, strict=True)])
    shares = 1 - np.divide(*differences[::-1])
    assert ((shares > 0.0) & (shares < 0.9)).all()
    assert np.ptp(shares) > 0.02


def test_the_small_autoencoder_copies_and_the_split_keeps_each_copy_with_its_photo(here, monkeypatch, capsys):
    """From reals alone: no network, no weights, no fake."""
    monkeypatch.setattr(autoencoder, "SMALL_STEPS", 40)
    write_faces(here / "raw", 12, size=96)
    for path in (here / "raw/1_fake").iterdir():
        path.unlink()
    (here / "raw/1_fake").rmdir()
    params = parameters(here / "raw", autoencoder="small")
    make_aligned(params, "faces")
    assert "demonstration only" in capsys.readouterr().out
    first = made()
    make_aligned(params, "faces")
    assert made() == first
    split(params)
    summary = json.loads(Path("reports/split/summary.json").read_text())
    assert (summary["images"], summary["photos"], summary["same_name_pairs_confirmed"]) == (24, 12, 12)
    assert summary["test_images_with_twin_in_train"] == summary["test_images_with_twin_in_val"] == 0


@pytest.mark.parametrize("published", ["nothing there", "another content", "another content in the cache"])
def test_without_the_published_files_one_line_says_where_to_put_them(here, monkeypatch, published):
    monkeypatch.setattr(autoencoder, "ADDRESS", (here / "web").as_uri() + "/")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(here / "hub"))
    cached = here / "hub/checkpoints/taef2_encoder.pth"
    if published != "nothing there":
        place = cached if "cache" in published else here / "web/taef2_encoder.pth"
        place.parent.mkdir(parents=True)
        place.write_bytes(b"another")
    with pytest.raises(UserError) as error:
        autoencoder.load("taef2")
    assert str(cached) in str(error.value)
    assert "\n" not in str(error.value)
    assert cached.exists() == ("cache" in published)


class Trap:
    def __reduce__(self):
        return (Path.touch, (Path("trapped"),))


@pytest.mark.parametrize(
    "what",
    [
        "no file",
        "two of a kind",
        "text",
        "pickle",
        "no tensors",
        "another network",
        "shapes",
        "numbers",
        "other latents",
    ],
)
def test_a_folder_without_a_fitting_autoencoder_is_named(here, what):
    encoder = here / "tiny/tiny_encoder.pth"
    state = torch.load(encoder, weights_only=True)
    if what == "no file":
        encoder.unlink()
    elif what == "two of a kind":
        (here / "tiny/other_encoder.pth").write_bytes(b"")
    elif what == "text":
        encoder.write_text("nothing")
    elif what == "other latents":
        torch.save(autoencoder.decoder(4, 5, True).state_dict(), here / "tiny/tiny_decoder.pth")
    elif what == "pickle":
        encoder.write_bytes(pickle.dumps(Trap(), 2))
    else:
        contents = {
            "no tensors": {"a": 3},
            "numbers": {1: torch.zeros(2)},
            "another network": {"fc.weight": torch.zeros(2, 2)},
            "shapes": state | {"14.weight": torch.zeros(4, 5, 3, 3)},
        }
        torch.save(contents[what], encoder)
    with pytest.raises(UserError) as error:
        autoencoder.load(str(here / "tiny"))
    assert "tiny" in str(error.value)
    assert "\n" not in str(error.value)
    assert not Path("trapped").exists()


def test_a_photo_that_cannot_be_used_stops_the_stage_or_is_left_out_with_its_fake(here, capsys):
    write_faces(here / "raw", 3)
    (here / "raw/0_real/0001.jpg").write_bytes(b"broken")
    Image.new("RGB", (40, 200)).save(here / "raw/0_real/0009.png")
    Image.open(here / "raw/0_real/0002.jpg").save(here / "raw/0_real/0002.jpg", "WEBP")
    with pytest.raises(UserError, match=r"0001\.jpg.*on_bad_image: skip"):
        make_aligned(parameters(here / "raw"), "faces")
    assert not list(Path("data/aligned").iterdir())
    make_aligned(parameters(here / "raw", on_bad_image="skip"), "faces")
    assert {Path(name).name for name in made() if "given" not in name} == {"0000.png", "0002.png"}
    said = capsys.readouterr().out
    assert "40 x 200 pixels" in said
    assert "1 photos are WEBP files" in said


def test_a_link_between_the_classes_makes_no_fakes_of_reals(here):
    write_faces(Path("linked"), 3)
    shutil.rmtree("linked/1_fake")
    Path("linked/1_fake").symlink_to("0_real")
    with pytest.raises(
        UserError, match=r"linked/1_fake: leads to .*0_real, so images of one class are in the other too"
    ):
        make_aligned(parameters(Path("linked")), "faces")
    assert not Path("data/aligned/faces").exists()


def test_a_sub_folder_whose_name_the_stage_needs_is_refused(here):
    write_faces(here / "raw", 2)
    (here / "raw/1_fake").rename(here / "aligned")
    (here / "raw/1_fake").mkdir()
    (here / "aligned").rename(here / "raw/1_fake/aligned")
    with pytest.raises(UserError, match=r"1_fake/aligned: .*rename the folder"):
        make_aligned(parameters(here / "raw"), "faces")


@pytest.mark.slow
def test_dvc_makes_the_fakes_when_asked_to_and_the_split_rests_on_them(tmp_path):
    project = tiny_on_faces(tmp_path / "project")
    write_autoencoder(project.path / "tiny")
    origin = project.path / "data/split/facts.json"
    plain = project.run("dvc", "stage", "list", "--name-only").stdout
    assert "aligned" not in plain
    project.set(aligned={"sources": {"faces": "data/raw"}, "autoencoder": "tiny"}, split={"data": "data/aligned/faces"})
    words = "24 real and 48 fake images in data/aligned/faces, which is made of those"
    assert f"{words} in data/raw" in project.run("fakeface", "check").stdout
    project.run("dvc", "repro", "split")
    assert len(project.files("data/aligned/faces/1_fake/aligned")) == 24
    counts = json.loads((project.path / "reports/split/summary.json").read_text())
    assert counts["images"] == 72
    assert counts["test_images_with_twin_in_train"] == 0
    assert "didn't change" in project.run("dvc", "repro", "split").stdout
    assert project.run("git", "status", "--porcelain", "data").stdout == ""
    project.set(aligned={"sources": {"faces": "data/sample"}}, sample={"count": 24})
    assert f"{words} that the first run will draw" in project.run("fakeface", "check").stdout
    assert json.loads(origin.read_text()) == {"drawings": False}
    project.run("dvc", "repro", "split")
    assert json.loads(origin.read_text()) == {"drawings": True}
