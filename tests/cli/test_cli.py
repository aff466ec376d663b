"""`fakeface recipe` and `fakeface check`: values change, comments stay, and a mistake changes nothing."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Project, environment
from ruamel.yaml import YAML

from fakeface.cli.recipes import apply_recipe, write_values
from fakeface.core.errors import UserError
from fakeface.core.load import load_params

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).parent / "fakeface"


@pytest.fixture
def root(tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    return tmp_path


def comments(path):
    lines = [line.partition("#")[2] for line in path.read_text().splitlines() if "#" in line]
    return [line.strip() for line in lines]


def load(path):
    return YAML(typ="safe", pure=True).load(path.read_text())


def test_default_is_the_committed_params_yaml():
    assert load(ROOT / "recipes" / "default.yaml") == load(ROOT / "params.yaml")


@pytest.mark.parametrize("name", [path.stem for path in (ROOT / "recipes").glob("*.yaml") if path.stem != "default"])
def test_a_recipe_holds_what_differs_from_default_and_nothing_else(root, name):
    default, overlay = load(root / "recipes" / "default.yaml"), load(root / "recipes" / f"{name}.yaml")
    same = [f"{part}.{key}" for part, keys in overlay.items() for key in keys if keys[key] == default[part][key]]
    assert same == []
    apply_recipe(name, None, root)
    assert load(root / "params.yaml") == {part: default[part] | overlay.get(part, {}) for part in default}


def test_comments_and_order_stay(root):
    before = (root / "params.yaml").read_text()
    apply_recipe("article", None, root)
    assert comments(root / "params.yaml") == comments(ROOT / "params.yaml")
    after = (root / "params.yaml").read_text()
    assert [line.split(":")[0] for line in after.splitlines()] == [line.split(":")[0] for line in before.splitlines()]


def test_article_twice_and_then_default_gives_the_same_bytes(root):
    before = (root / "params.yaml").read_bytes()
    for data in (None, Path("/")):
        apply_recipe("article", data, root)
        once = (root / "params.yaml").read_bytes()
        apply_recipe("article", data, root)
        assert (root / "params.yaml").read_bytes() == once != before
    apply_recipe("default", None, root)
    assert (root / "params.yaml").read_bytes() == before
    assert sorted(path.name for path in root.iterdir()) == ["params.yaml", "recipes"]  # nothing temporary


@pytest.mark.parametrize("name", ["my faces", "data/raw", "café: # [x]"])
def test_a_data_folder_is_written_and_no_sample_drawn_until_default_brings_it_back(root, name):
    (root / name).mkdir(parents=True)
    apply_recipe("default", Path(name), root)
    params = load_params(root / "params.yaml")
    assert (params.split.data, params.sample.count) == (name, 0)
    apply_recipe("default", None, root)
    assert load_params(root / "params.yaml") == load_params(ROOT / "params.yaml")


def test_the_sample_as_data_is_still_drawn(root):
    (root / "data/sample").mkdir(parents=True)
    apply_recipe("best", Path("data/sample"), root)
    assert load_params(root / "params.yaml").sample.count == 300


def test_recipe_repairs_a_wrong_value_a_missing_and_an_unknown_key(root):
    path = root / "params.yaml"
    text = path.read_text()
    lines = [line for line in text.splitlines() if not line.strip().startswith("threads:")]
    path.write_text("\n".join(lines).replace("device: auto", "device: gpu\n  extra: 1") + "\n")
    with pytest.raises(UserError):
        load_params(path)
    apply_recipe("default", None, root)
    assert load_params(path) == load_params(ROOT / "params.yaml")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seeds: []                   #", "seeds:  # mine\n  - 1\n  - 2\n  #"),  # as `dvc exp run -S` writes
        ("leak: []   ", "leak:\n  - scratch\n"),
        ("extra_sets: {}  ", "extra_sets:\n    other: faces\n"),
        ("budget: {}", "budget:\n    scratch:\n      blur_1: 0.1  # mine"),
        ("\nregistry:\n", "\nother:\n"),
        ("\nregistry:\n", "\nregistry: 3\nother:\n"),
    ],
)
def test_whatever_was_written_in_params_yaml_default_brings_its_values_back(root, old, new):
    path = root / "params.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert load(path) != load(ROOT / "params.yaml")
    apply_recipe("default", None, root)
    assert load(path) == load(ROOT / "params.yaml")


def test_a_recipe_keeps_the_class_folders_and_groups_of_the_same_data(root):
    (root / "faces").mkdir()
    found = {"data": "faces", "real": "photos", "fake": "gan", "group_by": "folder"}
    (root / "params.yaml").chmod(0o640)
    write_values({"split": found}, root)
    apply_recipe("robust", Path("faces"), root)
    assert (root / "params.yaml").stat().st_mode & 0o777 == 0o640
    split = load_params(root / "params.yaml").split
    assert {key: getattr(split, key) for key in found} == found
    (root / "other").mkdir()
    apply_recipe("robust", Path("other"), root)
    assert load_params(root / "params.yaml").split.real == "0_real"


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [(name, None, "article, best, clip, default") for name in ("nope", "../params", "article.yaml", "")]
    + [("article", Path("nowhere"), "nowhere")],
)
def test_an_unknown_recipe_or_a_missing_data_folder_changes_nothing(root, name, data, words):
    before = (root / "params.yaml").read_bytes()
    with pytest.raises(UserError, match=words):
        apply_recipe(name, data, root)
    assert (root / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"base: [1,", b"base:\n  seed: 0\n  seed: 1\n", b"", b"- a\n", b"text", b"\xff\xfe"]
)
def test_broken_params_yaml_stays_as_it_is(root, content):
    (root / "params.yaml").write_bytes(content)
    with pytest.raises(UserError, match=r"params\.yaml") as caught:
        apply_recipe("article", None, root)
    assert len(str(caught.value).splitlines()) == 1
    assert (root / "params.yaml").read_bytes() == content
    assert not list(root.glob("*.partial"))


def test_missing_params_yaml_is_named(root):
    (root / "params.yaml").unlink()
    with pytest.raises(UserError, match=r"params\.yaml: no such file"):
        apply_recipe("article", None, root)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("base: {device: gpu}", r"base\.device = 'gpu'"),
        ("train_scratch: {epoch: 3}", r"train_scratch\.epoch is not a known parameter; did you mean epochs\?"),
        ("trian_scratch: {epochs: 3}", r"trian_scratch is not a known parameter; did you mean train_scratch\?"),
        (
            "features: {crop_size: 512}",
            r"features\.crop_size = 512",
        ),  # right by itself, wrong beside default's image size
        ("base: 3", r"base = 3"),
        ("base: [1,", "not readable as YAML"),
        ("", "must contain only the sections and keys that differ"),
    ],
)
def test_a_recipe_that_is_wrong_beside_default_changes_nothing_and_is_named(root, recipe, words):
    before = (root / "params.yaml").read_bytes()
    (root / "recipes" / "mine.yaml").write_text(recipe)
    with pytest.raises(UserError, match=rf"recipes/mine\.yaml: .*{words}"):
        apply_recipe("mine", None, root)
    assert (root / "params.yaml").read_bytes() == before


def run(root, *arguments):
    return subprocess.run([COMMAND, *arguments], cwd=root, capture_output=True, text=True, timeout=60)


def test_console_command_applies_a_recipe(root):
    (root / "faces").mkdir()
    result = run(root, "recipe", "article", "--data", "faces")
    assert (result.returncode, result.stderr) == (0, "")
    assert load_params(root / "params.yaml").split.data == "faces"
    result = run(root, "recipe", "nope")
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)


@pytest.mark.parametrize("arguments", [("recipe",), ("recipe", "default", "--dat4", "x"), ("recipes", "default")])
def test_console_command_exits_2_for_wrong_usage(root, arguments):
    result = run(root, *arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def run_check(root, **split):
    Project(root).set(split=split)
    return run(root, "check")


def test_check_accepts_the_default_before_the_sample_is_drawn(root):
    result = run_check(root)
    assert result.returncode == 0
    assert "300 real and 300 fake" in result.stdout


@pytest.mark.parametrize(
    "values", [{"protocol": "article"}, {"protocol": "counts", "train": 200, "val": 50, "test": 90}]
)
def test_check_knows_the_size_of_the_sample(root, values):
    result = run_check(root, **values)
    assert result.returncode == 1
    assert "has 300 images" in result.stderr


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ({"data": "nowhere"}, ["nowhere", "split.data"]),
        ({"data": "faces", "fake": "2_other"}, ["2_other", "split.fake"]),
        ({"data": "faces", "protocol": "article"}, ["faces/0_real", "1999"]),
        ({"data": "faces", "trian": 0.5}, ["split.trian", "did you mean train?"]),
    ],
)
def test_check_says_in_one_line_what_a_run_would_stumble_over(root, split, words):
    for name in ("0_real", "1_fake"):
        (root / "faces" / name).mkdir(parents=True)
        (root / "faces" / name / "1.jpg").write_bytes(b"counted, not decoded")
    result = run_check(root, **split)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert all(word in result.stderr for word in words)


def test_check_names_an_extra_set_that_is_not_there(root):
    text = (root / "params.yaml").read_text()
    assert "extra_sets: {}" in text
    (root / "params.yaml").write_text(text.replace("extra_sets: {}", "extra_sets: {other: nowhere}"))
    result = run_check(root)
    assert result.returncode == 1
    assert "evaluate.extra_sets.other = 'nowhere': no such folder" in result.stderr
    apply_recipe("default", None, root)
    assert load_params(root / "params.yaml").evaluate.extra_sets == {}
    assert run_check(root).returncode == 0


def test_check_claims_no_image_and_warns_of_a_rate_that_trains_nothing(root):
    said = run_check(root).stdout
    assert "images that the first run will draw into data/sample" in said
    assert "note:" not in said
    params = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(re.sub(r"^  lr: \S+", "  lr: 10", params, count=1, flags=re.MULTILINE))
    assert re.search(r"note: train_\w+\.lr = 10 is too high to train with", run_check(root).stdout)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("seeds: []", "seeds: 3", "evaluate.seeds = 3: must be a list in brackets, [] for none"),
        ("leak: []", "leak: finetune", "evaluate.leak = 'finetune': must be a list in brackets, [] for none"),
        (
            "extra_sets: {}",
            "extra_sets: []",
            "evaluate.extra_sets = []: must be names with values in braces, {} for none",
        ),
        ("data: data/sample", "data: [data/sample]", "split.data = ['data/sample']: must be a valid string"),
        ("device: auto", "device: cuda", "base.device = cuda, but PyTorch finds no GPU; set it to auto or cpu"),
    ],
)
def test_check_words_what_dvc_or_a_stage_would_word_worse(root, monkeypatch, old, new, words):
    """`dvc repro` says of the first: 'Value' object is not iterable."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    params = (root / "params.yaml").read_text()
    assert old in params
    (root / "params.yaml").write_text(params.replace(old, new, 1))
    result = run(root, "check")
    assert (result.returncode, result.stderr) == (1, f"error: params.yaml: {words}\n")


def test_check_names_weights_that_are_not_there_and_files_it_leaves_out(root):
    for name in ("0_real", "1_fake"):
        (root / "faces" / name).mkdir(parents=True)
        for i in range(10):
            (root / "faces" / name / f"{i}.jpg").write_bytes(b"counted, not decoded")
        (root / "faces" / name / "film.MP4").write_bytes(b"left out")
    result = run_check(root, data="faces")
    assert result.returncode == 0
    assert "note: not used: 2 mp4 files" in result.stdout
    params = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(params.replace("weights: imagenet", "weights: gone.pth"))
    result = run_check(root, data="faces")
    assert result.returncode == 1
    assert "gone.pth" in result.stderr


def test_weights_not_yet_here_are_announced_and_fetched_before_dvc_removes_a_model(root, tmp_path, monkeypatch):
    """The stage `check`, on which all others rest, meets the missing network, and the old model stays."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens
    Project(root).set(train_finetune={"network": "resnet18"})
    words = "note: train_finetune: the weights of resnet18 are not on this machine and will be downloaded\n"
    assert words in run_check(root).stdout

    def stage():
        command = [sys.executable, "-m", "stages.check"]
        return subprocess.run(command, cwd=root, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True)

    result = stage()
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert "error: params.yaml: train_finetune.weights: the ImageNet weights of resnet18 could not be" in result.stderr
    assert not (root / "reports/check.txt").exists()
    file = tmp_path / "torch/hub/checkpoints/resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"here; the stage that needs it reads it")
    assert "note: train_finetune" not in run_check(root).stdout
    assert stage().returncode == 0
