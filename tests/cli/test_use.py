"""`fakeface use`: every layout that people have gives the lines of params.yaml, or one line that says what is there."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import copy_files, write_faces
from PIL import Image
from ruamel.yaml import YAML
from typer.testing import CliRunner

from fakeface.cli.commands import app
from fakeface.cli.normalise import normalise
from fakeface.core.errors import UserError
from fakeface.core.load import load_params
from fakeface.images.decode import find_images
from fakeface.split.extra import find_extra
from fakeface.split.grouping import group_names, together
from fakeface.split.protocols import assign, check_filled, class_sizes


@pytest.fixture
def faces(tmp_path, monkeypatch):
    """Four pairs of faces in ./a/0_real and ./a/1_fake; the working folder has the project's params.yaml."""
    copy_files(tmp_path / "project", "params.yaml")
    monkeypatch.chdir(tmp_path / "project")
    write_faces(Path("a"), 4)
    return Path("a")


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["use", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def split() -> tuple[str, str, str]:
    values = YAML(typ="safe").load(Path("params.yaml").read_text())
    assert values["sample"]["count"] == 0
    return tuple(values["split"][key] for key in ("data", "real", "fake"))


def setting(key: str) -> str:
    return YAML(typ="safe").load(Path("params.yaml").read_text())["split"][key]


def refused(*arguments: object) -> str:
    before = Path("params.yaml").read_bytes()
    with pytest.raises(UserError) as caught:
        run(*arguments)
    assert Path("params.yaml").read_bytes() == before
    assert not Path("data/raw").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("real", "fake"),
    [("0_real", "1_fake"), ("real", "fake"), ("training_real", "training_fake"), ("Original images", "AI-GENERATED"),
     ("deep/down/REALS", "deep/down/Fakes")],
)  # fmt: skip
def test_class_folders_are_found_by_their_names(faces, real, fake):
    for old, new in (("0_real", real), ("1_fake", fake)):
        Path("b", new).parent.mkdir(parents=True, exist_ok=True)
        (faces / old).rename(Path("b") / new)
    shutil.rmtree("a")
    said = run("b")
    assert split() == (Path("b", real).parent.as_posix(), Path(real).name, Path(fake).name)
    assert f"real: {Path(real).name}: 4 images" in said


@pytest.mark.parametrize(
    "layout", ["b/{split}/{kind}", "b/{kind}/{split}", "deep/b/{split}/{kind}"], ids=["above", "below", "deep"]
)
@pytest.mark.parametrize("splits", [("train", "test"), ("Training", "valid", "testing")])
def test_a_ready_made_split_is_kept(faces, layout, splits):
    for kind in ("real", "fake"):
        for i, file in enumerate(sorted((faces / ("0_real", "1_fake")[kind == "fake"]).iterdir())):
            place = Path(layout.format(split=splits[i % len(splits)], kind=kind), file.name)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.rename(place)
    shutil.rmtree("a")
    assert "real: real: 4 images" in run(layout.split("/")[0])
    assert split() == (layout.partition("/{")[0], "real", "fake")
    assert setting("protocol") == "folders"


def test_many_sub_folders_of_the_real_class_are_persons_and_few_are_sources(faces):
    for name, number in (("p", 12), ("source", 2)):
        in_folders(real=(name, number), fake=(name, number))
        run("a")
        assert setting("group_by") == ("folder" if number == 12 else "photo")
        assert setting("protocol") == "fractions"


def test_what_is_not_used_is_said(faces):
    (faces / "notes.txt").touch()
    (faces / "0_real" / "film.mp4").touch()
    (faces / "0_real" / ".DS_Store").touch()
    assert "not used: 1 files beside the class folders, 1 mp4 files\n" in run("a")


def test_a_dry_run_and_what_it_says(faces):
    before = Path("params.yaml").read_bytes()
    (faces / "1_fake" / "stargan").mkdir()
    for path in sorted((faces / "1_fake").glob("*.*"))[:2]:
        path.rename(faces / "1_fake" / "stargan" / path.name)
    said = run("a", "--dry-run")
    assert (
        "params.yaml: sample.count: 0, split.data: a, split.real: 0_real, split.fake: 1_fake, split.group_by: photo\n"
        in said
    )
    assert "fake: 1_fake: 4 images in 1 sub-folders, " in said
    assert "pixels" in said
    assert Path("params.yaml").read_bytes() == before


def test_the_sample_stays(faces):
    shutil.copytree("a", "data/sample")
    run("data/sample")
    assert setting("data") == "data/sample"
    assert load_params().sample.count == 300


def test_a_direction_is_never_guessed(faces):
    (faces / "0_real").rename(faces / "0")
    (faces / "1_fake").rename(faces / "1")
    assert "found: 0, 1" in refused("a")
    run("a", "--real", "0", "--fake", "1")
    assert split() == ("a", "0", "1")
    (faces / "0").rename(faces / "fake")
    assert "suggests the other class" in refused("a", "--real", "fake", "--fake", "1")
    run("a", "--real", "fake", "--fake", "1", "--swapped")
    assert split() == ("a", "fake", "1")


@pytest.mark.parametrize("there", [True, False])
def test_links_that_people_made_stay_and_what_they_point_at_is_filled(faces, tmp_path, there):
    for link in ("data/raw", "out"):
        Path(link).parent.mkdir(exist_ok=True)
        Path(link).symlink_to(tmp_path / "disk" / link)
        (tmp_path / "disk" / link).mkdir(parents=True) if there else None
    Path("params.yaml").rename(tmp_path / "mine.yaml")
    Path("params.yaml").symlink_to(tmp_path / "mine.yaml")
    write_table("", lambda kind, i: "")
    run("a/list.csv")
    normalise(Path("a"), Path("out"), 32, None, 50)
    assert all(Path(link).is_symlink() for link in ("data/raw", "out", "params.yaml"))
    assert split() == (str(tmp_path / "disk/data/raw"), "0_real", "1_fake")
    assert len(find_images(tmp_path / "disk/data/raw", "0_real", "1_fake")) == 8
    assert len(find_images(tmp_path / "disk/out", "0_real", "1_fake")) == 8


@pytest.mark.parametrize("target", [".", "..", "0_real", "0_real/x", "here"])
def test_class_folders_that_links_make_one_are_named(faces, target):
    shutil.rmtree(faces / "1_fake")
    (faces / "0_real/x").mkdir()
    (faces / "1_fake").symlink_to(Path("a/0_real").resolve() if target == "here" else target)
    assert "a/1_fake: leads to /" in refused("a")
    assert "a/1_fake: leads to /" in refused(
        "a", "--real", Path("a/0_real").resolve(), "--fake", Path("a/1_fake").absolute()
    )
    with pytest.raises(UserError, match="a/1_fake: leads to /"):
        find_images("a", "0_real", "1_fake")
    with pytest.raises(UserError, match="a/1_fake: leads to /"):
        find_extra("x", "a", "0_real", "1_fake")


def test_two_answers_are_none(faces):
    (faces / "fake_too").mkdir()
    assert "0_real, a" not in (said := refused("a"))
    assert "1_fake" in said
    assert "fake_too" in said


def test_classes_that_lie_apart_or_behind_links_are_brought_together(faces, tmp_path):
    (faces / "0_real").rename(tmp_path / "photos")
    (faces / "1_fake").rename(tmp_path / "generated")
    before = Path("params.yaml").read_bytes()
    run("a", "--real", tmp_path / "photos", "--fake", tmp_path / "generated", "--dry-run")
    assert not Path("data/raw").exists()
    assert Path("params.yaml").read_bytes() == before
    run("a", "--real", tmp_path / "photos", "--fake", tmp_path / "generated")
    assert split() == ("data/raw", "0_real", "1_fake")
    assert len(list(Path("data/raw/0_real").iterdir())) == 4
    Path("b").mkdir()
    (Path("b") / "real").symlink_to(tmp_path / "photos")
    (Path("b") / "fake").symlink_to(tmp_path / "generated")
    with pytest.raises(UserError, match="is not empty"):
        run("b")
    shutil.rmtree("data/raw")
    run("b")
    assert split() == ("data/raw", "0_real", "1_fake")


def write_list(path: Path, faces: Path) -> None:
    """path, label, generator, group of all faces, in the form that the suffix says."""
    rows = [
        {
            "path": str(file.relative_to(path.parent)),
            "label": name[2:].upper(),
            "generator": f"G{i % 2}",
            "group": f"p {i // 2}",
        }
        for name in ("0_real", "1_fake")
        for i, file in enumerate(sorted((faces / name).iterdir()))
    ]
    if path.suffix == ".json":
        path.write_text(json.dumps({row.pop("path"): row for row in rows}))
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        lines = [list(rows[0])] + [list(row.values()) for row in rows]
        path.write_text("\ufeff" + "\r\n".join(("," if path.suffix == ".csv" else "\t").join(line) for line in lines))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".jsonl"])
def test_a_list_says_label_generator_and_group(faces, suffix):
    write_list(Path(f"list{suffix}"), faces)
    run(f"list{suffix}")
    assert split() == ("data/raw", "0_real", "1_fake")
    folders = {path.parent.relative_to("data/raw").as_posix() for path in Path("data/raw").rglob("*.*")}
    assert folders == {
        "0_real/group-p 0",
        "0_real/group-p 1",
        *(f"1_fake/G{g}/group-p {p}" for g in "01" for p in "01"),
    }
    assert len([path for path in Path("data/raw").rglob("*.*") if path.is_file()]) == 8
    stems = [image.stem for image in find_images("data/raw", "0_real", "1_fake")]
    assert set(group_names(stems, setting("group_by"))) == {"group-p 0", "group-p 1"}


def write_table(columns: str, row) -> None:
    """a/list.csv with a row for each face: `row(kind, i)` gives what stands behind path and label."""
    lines = [f"path,label{columns}"]
    for kind in ("0_real", "1_fake"):
        lines += [
            f"{kind}/{file.name},{kind[2:]}{row(kind, i)}" for i, file in enumerate(sorted(Path("a", kind).iterdir()))
        ]
    Path("a/list.csv").write_text("\n".join(lines))


def test_labels_are_read_as_the_names_of_folders_are(faces):
    Path("a/list.csv").write_text(
        "path,label\n"
        + "".join(f"0_real/{file.name},Real face\n" for file in (faces / "0_real").iterdir())
        + "".join(f"1_fake/{file.name},DeepFake\n" for file in (faces / "1_fake").iterdir())
    )
    assert "fake: 1_fake: 4 images" in run("a/list.csv")


def test_a_generator_is_no_group(faces):
    """Persons of the reals and generators of the fakes: no generator is kept on one side."""
    write_table(",person,generator", lambda kind, i: f",p{i}," if kind == "0_real" else f",,g{i % 2}")
    run("a/list.csv")
    stems = [image.stem for image in find_images("data/raw", "0_real", "1_fake")]
    assert sorted(group_names(stems, setting("group_by"))) == ["", "", "", "", *(f"group-p{i}" for i in range(4))]


def in_folders(**kinds: tuple[str, int]) -> None:
    """24 pairs anew, those of each class dealt out to as many sub-folders: `in_folders(real=("p", 12))`."""
    shutil.rmtree("a")
    write_faces(Path("a"), 24)
    for kind, (name, number) in kinds.items():
        for i, file in enumerate(sorted(Path("a", {"real": "0_real", "fake": "1_fake"}[kind]).iterdir())):
            place = file.parent / f"{name}{i % number}" / file.name
            place.parent.mkdir(exist_ok=True)
            file.rename(place)


def test_persons_beside_generators_are_grouped_and_the_split_accepts_that(faces):
    in_folders(real=("person_", 12), fake=("gan", 2))
    said = run("a")
    assert (
        "the 12 sub-folders of the real class look like persons; some sub-folders of the fake class look like generators"
        in said
    )
    assert "split.group_by: '^(?P<group>person_[^/]+)/'" in said
    found = find_images("a", "0_real", "1_fake")
    names = group_names([image.stem for image in found], setting("group_by"))
    assert [name != "" for name in names] == [image.label == 0 for image in found]
    labels = np.array([image.label for image in found])
    sizes = class_sizes("fractions", 0.6, 0.15, 0.25, [24, 24], ["", ""])
    splits = assign(labels, together(np.arange(48), names), sizes, rest="train", seed=0)
    check_filled(labels, splits, sizes, 2)


def test_groups_that_the_split_would_refuse_are_said_and_not_set(faces):
    in_folders(real=("p", 12), fake=("p", 1))
    for file in sorted((faces / "1_fake/p0").iterdir())[:2]:
        (faces / "1_fake/p1").mkdir(exist_ok=True)
        file.rename(faces / "1_fake/p1" / file.name)
    said = run("a")
    assert "split.group_by: folder would keep each in one split, but " in said
    assert "images: groups stay whole, the largest has " in said
    assert setting("group_by") == "photo"


def test_a_list_s_split_is_kept_and_what_is_not_used_is_said(faces):
    write_table(",split,age", lambda kind, i: f",{['Train', 'test'][i % 2]},{i}")
    assert "columns not used: age" in run("a/list.csv")
    assert setting("protocol") == "folders"
    assert {path.name for path in Path("data/raw").iterdir()} == {"train", "test"}
    shutil.rmtree("data/raw")
    write_table(",split", lambda kind, i: ",somewhere")
    assert "the column split is ignored" in run("a/list.csv")
    assert setting("protocol") == "fractions"


@pytest.mark.parametrize(
    "row",
    [lambda kind, i: ",0001.jpg", lambda kind, i: "," + "x" * 300, lambda kind, i: ",../.."],
    ids=["file", "long", "up"],
)
def test_odd_generators_are_folders_too(faces, row):
    write_table(",generator", row)
    run("a/list.csv")
    assert len(find_images("data/raw", "0_real", "1_fake")) == 8


def test_a_list_that_cannot_be_used_leaves_nothing_behind(faces):
    Path("a/list.csv").write_text(
        "path,label\n" + "\n".join(f"0_real/{file.name},real" for file in (faces / "0_real").iterdir())
    )
    assert "a list needs both classes" in refused("a/list.csv")
    write_table("", lambda kind, i: "")
    before = Path("params.yaml").read_text()
    Path("params.yaml").write_text("- x\n")
    refused("a/list.csv")
    Path("params.yaml").write_text(before)
    run("a/list.csv")
    Path("a/deep.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="not readable as a list"):
        run("a/deep.json")


def test_lists_that_do_not_say_which_is_which(faces):
    names = [f"{name}/{file.name}" for name in ("0_real", "1_fake") for file in sorted((faces / name).iterdir())]
    table = Path("a/list.csv")
    table.write_text("file,label\n" + "\n".join(f"{name},{name[0]}" for name in names))
    assert "--real VALUE --fake VALUE (found: 0, 1)" in refused(table)
    run(table, "--real", "0", "--fake", "1")
    assert len(list(Path("data/raw/1_fake").iterdir())) == 4
    shutil.rmtree("data/raw")
    table.write_text("file,is_fake\n" + "\n".join(f"{name},{name[0]}" for name in names))
    run(table)
    shutil.rmtree("data/raw")
    table.write_text("file,is_fake\n" + "\n".join(f"{name}x,{name[0]}" for name in names))
    assert "no such file" in refused(table)
    table.write_text("file\nx\n")
    assert "no column for the label" in refused(table)
    table.write_text("")
    assert "not readable as a list" in refused(table)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_lists_as_windows_writes_them(faces, encoding, suffix):
    write_list(Path("plain" + suffix), faces)
    text = Path("plain" + suffix).read_text(encoding="utf-8-sig")
    Path("list" + suffix).write_bytes(("\ufeff" * (encoding == "utf-16-be") + text).encode(encoding))
    assert "fake: 1_fake: 4 images" in run("list" + suffix)


@pytest.mark.parametrize("label", [1.0, "1.0", 1, True])
def test_numbers_as_labels_may_be_floats(faces, label):
    rows = [{"file": f"1_fake/{file.name}", "is_fake": label} for file in (faces / "1_fake").iterdir()]
    rows += [{"file": f"0_real/{file.name}", "is_fake": type(label)(0)} for file in (faces / "0_real").iterdir()]
    Path("a/list.json").write_text(json.dumps(rows).replace('"0"', '"0.0"'))
    assert "fake: 1_fake: 4 images" in run("a/list.json")
    shutil.rmtree("data/raw")
    Path("a/list.json").write_text(
        json.dumps(rows).replace("is_fake", "label").replace("true", "1").replace("false", "0")
    )
    run("a/list.json", "--real", "0", "--fake", "1")


def test_hidden_files_of_a_list_are_left_out_and_said(faces):
    write_table("", lambda kind, i: "")
    with Path("a/list.csv").open("a") as file:
        file.write("\n0_real/._0001.jpg,real\n./__MACOSX/1.jpg,fake\n1_fake/.ipynb_checkpoints/1.jpg,fake\n")
    assert "3 hidden files, such as 0_real/._0001.jpg, are ignored" in run("a/list.csv")
    assert len(find_images("data/raw", "0_real", "1_fake")) == 8


@pytest.mark.parametrize("again", ["0_real/0001.jpg", "../a/0_real/0001.jpg", "link.jpg"])
def test_a_file_of_both_classes_is_named_with_its_rows(faces, again):
    (faces / "link.jpg").symlink_to("0_real/0001.jpg")
    write_table("", lambda kind, i: "")
    with Path("a/list.csv").open("a") as file:
        file.write(f"\n\n{again},fake\n")
    assert f"a/list.csv: {again} is real and fake, in row 3 and in row 11; keep one" in refused("a/list.csv")


def test_an_original_is_of_its_own_group_and_equal_names_stay_apart(faces):
    entries = {}
    for name in ("0_real", "1_fake"):
        for file in sorted((faces / name).iterdir()):
            entries[f"{name}/{file.name}"] = {
                "label": name[2:].upper(),
                "original": file.name if name == "1_fake" else None,
            }
    Path("a/metadata.json").write_text(json.dumps(entries))
    run("a/metadata.json")
    groups = {kind: {path.name for path in Path("data/raw", kind).iterdir()} for kind in ("0_real", "1_fake")}
    assert groups["0_real"] == groups["1_fake"]
    assert len(groups["0_real"]) == 4
    shutil.rmtree("data/raw")
    rows = ["path,label", "0_real/{0},real", "1_fake/{0},real", "0_real/{1},fake", "0_real/{1},fake"]
    names = sorted(file.name for file in (faces / "0_real").iterdir())
    Path("a/list.csv").write_text("\n".join(rows).format(*names))
    run("a/list.csv")
    assert len(list(Path("data/raw/0_real").iterdir())) == 2
    assert len(list(Path("data/raw/1_fake").iterdir())) == 1


@pytest.mark.parametrize(("separator", "quote"), [(";", ""), (";", '"'), ("\t", ""), (",", '"')])
def test_the_separator_of_a_table_is_found(faces, separator, quote):
    rows = [["file", "label", "person, or none"]]
    rows += [
        [f"{kind}/{path.name}", kind[2:], "a, b"] for kind in ("0_real", "1_fake") for path in (faces / kind).iterdir()
    ]
    if separator == ",":
        rows = [[cell.replace(",", ";") for cell in row] for row in rows]
    lines = [separator.join(f"{quote}{cell}{quote}" for cell in row) for row in rows]
    Path("a/list.csv").write_text("\r\n".join(lines))
    assert "fake: 1_fake: 4 images" in run("a/list.csv")


@pytest.mark.parametrize("where", ["head", "row"])
def test_a_list_in_another_encoding_says_how_to_save_it(faces, where):
    text = "path;label;größe\n" if where == "head" else "path;label;x\n" + "a;real;x\n" * 9 + "müller.jpg;real;x\n"
    Path("a/list.csv").write_bytes(text.encode("cp1252"))
    assert "a/list.csv: is not UTF-8; save it as CSV UTF-8" in refused("a/list.csv")


def test_an_odd_label_is_named_with_its_row(faces):
    write_table("", lambda kind, i: "")
    with Path("a/list.csv").open("a") as file:
        file.write("\n\n0_real/0001.jpg,reel\n")
    assert "'reel' in row 11, column label, is neither real nor fake; correct it, or " in refused("a/list.csv")


LOST = {
    "flat": (
        ["real_1.jpg", "fake_1.jpg"],
        "2 images but no folders; put each class into its own folder, real and",
    ),
    "persons": (
        [f"p{i}/{kind}/1.jpg" for i in range(10) for kind in ("real", "fake")],
        "10 pairs of a real and a fake folder (p0/real, p0/fake, p1/real, p1/fake, p2/real, p2/fake, p3/real, p3/fake, ...); "
        "name one of their folders (b/p0), or, if they are persons or recordings, put them below the class folders (real/p0), "
        "or write a list, such as a CSV with the columns path and label (docs/data.md)",
    ),
    "one named": (
        ["ffhq-real/1.jpg", "sfhq/1.jpg", "stylegan/1.jpg"],
        "ffhq-real is named real, but no folder next to it is named fake (found: ffhq-real, sfhq, stylegan); use --real "
        "ffhq-real --fake sfhq, or another folder; if there are several, make them sub-folders of one folder named fake",
    ),
    "the other named": (["ai-fakes/1.jpg", "ffhq/1.jpg"], "(found: ai-fakes, ffhq); use --fake ai-fakes --real ffhq"),
    "two named": (
        ["real/1.jpg", "fake/1.jpg", "fake2/1.jpg"],
        "(found: real, fake, fake2); name them with --real FOLDER",
    ),
    "none named": (["0/1.jpg", "1/1.jpg"], "(found: 0, 1); name them with --real FOLDER --fake FOLDER"),
    "none at all": (["notes.txt"], "(found: no folder)"),
}


@pytest.mark.parametrize("layout", LOST)
def test_a_folder_that_is_not_understood_leads_on(faces, layout):
    for name in LOST[layout][0]:
        Path("b", name).parent.mkdir(parents=True, exist_ok=True)
        Path("b", name).touch()
    assert LOST[layout][1] in refused("b")


@pytest.mark.parametrize("option", ["--real", "--fake"])
def test_a_class_that_is_named_twice_is_refused(faces, option):
    options = {"--real": "0_real", "--fake": "1_fake"}
    arguments = ["use", "a", *(text for pair in options.items() for text in pair), option, "more"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "put them as sub-folders" in " ".join(result.output.replace("│", " ").split())


def test_unreadable_files_and_formats_that_differ_are_said(faces):
    whole = (faces / "0_real/0001.jpg").read_bytes()
    (faces / "0_real/0001.jpg").write_bytes(whole[: len(whole) // 2])
    (faces / "0_real/0002.jpg").write_bytes(b"")
    (faces / "1_fake/0000.jpg").write_text("<html>not found</html>")
    Image.open(faces / "1_fake/0003.jpg").save(faces / "1_fake/0003.png")
    said = run("a")
    assert "warning: real: unreadable: 2, such as 0_real/0001.jpg is damaged (" in said
    assert "warning: fake: unreadable: 1, such as 1_fake/0000.jpg is a web page (HTML)" in said
    assert "warning: the classes differ in format (real: 2 JPEG; fake: 3 JPEG, 1 PNG)" in said
    assert "`fakeface normalise a NEW_FOLDER`" in said


def test_classes_of_one_format_are_no_warning(faces):
    assert "warning" not in run("a")
