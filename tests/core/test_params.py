"""params.yaml: whatever stands in it, the answer is Params or one line that names file and key."""

import copy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from fakeface.cli.recipes import recipe_values
from fakeface.core.errors import UserError
from fakeface.core.load import check_params, load_params
from fakeface.core.params import Params

ROOT = Path(__file__).parents[2]
VALID = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
LEAVES = [(section, key) for section, values in VALID.items() for key in values]
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3), max_leaves=5
)


def changed(section, key, value):
    values = copy.deepcopy(VALID)
    values[section][key] = value
    return values


def refusal(values, path="params.yaml"):
    with pytest.raises(UserError) as caught:
        check_params(values, path)
    return one_line(caught, path)


def rows(table):
    """(section, key, value) of a table of values by `section.key`."""
    return [(*name.split("."), value) for name, values in table.items() for value in values]


def one_line(caught, path):
    message = str(caught.value)
    assert len(message.splitlines()) == 1, message
    assert str(path) in message
    return message


def test_params_yaml_loads():
    assert isinstance(load_params(ROOT / "params.yaml"), Params)


ARTICLE, BEST, ROBUST = (
    check_params(recipe_values(name, ROOT), f"{name}.yaml") for name in ("article", "best", "robust")
)


@pytest.mark.parametrize(
    ("section", "epochs", "batch_size", "schedule"),
    [("train_scratch", 192, 16, "constant"), ("train_extractor", 25, 4, "step"), ("train_finetune", 15, 4, "step")],
)
def test_article_trains_as_the_article(section, epochs, batch_size, schedule):
    p = getattr(ARTICLE, section)
    assert (p.epochs, p.batch_size, p.schedule) == (epochs, batch_size, schedule)
    assert (p.optimizer, p.lr, p.momentum, p.weight_decay) == ("sgd", 0.001, 0.9, 0.0)
    assert (p.step_size, p.gamma) == (7, 0.1)


def test_article_has_the_articles_sizes_and_networks():
    assert ARTICLE.base.image_size == 256
    for section in (ARTICLE.features, ARTICLE.train_scratch, ARTICLE.train_finetune):
        assert (section.crop_size, section.augment) == (224, "article")
    assert ARTICLE.train_scratch.network == "mynet"
    for section in (ARTICLE.features, ARTICLE.train_finetune):
        assert (section.network, section.weights) == ("resnet18", "imagenet")
    assert (ARTICLE.split.protocol, ARTICLE.sample.count) == ("article", 0)
    assert ARTICLE.features.views == ARTICLE.train_extractor.epochs


@pytest.mark.parametrize(
    ("key", "answer"),
    [("epoch", "did you mean epochs?"), ("batchsize", "did you mean batch_size?"), ("zzz", "allowed here: epochs,")],
)
def test_unknown_key_is_named_with_the_nearest_or_all(key, answer):
    message = refusal(changed("train_finetune", key, 1))
    assert f"train_finetune.{key} is not a known parameter" in message
    assert answer in message


def test_unknown_section_is_named_with_the_nearest():
    message = refusal(VALID | {"evaluat": {}})
    assert "evaluat " in message
    assert "evaluate?" in message


@pytest.mark.parametrize(("section", "key"), LEAVES)
def test_missing_key_is_named(section, key):
    values = copy.deepcopy(VALID)
    del values[section][key]
    assert f"{section}.{key} is missing" in refusal(values)


@pytest.mark.parametrize("section", VALID)
def test_missing_section_is_named(section):
    assert f"{section} is missing" in refusal({k: v for k, v in VALID.items() if k != section})


WRONG_TYPES = {
    "train_finetune.lr": ["1e-3", "0.001", True, None],
    "train_finetune.epochs": [True, 5.0, 5.5, "5", [5]],
    "base.tracking": [1, "yes"],
    "base.seed": [1.0],
    "split.data": [7, None],
    "split.train": ["0.6"],
}


@pytest.mark.parametrize(("section", "key", "value"), rows(WRONG_TYPES))
def test_wrong_type_names_key_and_value(section, key, value):
    message = refusal(changed(section, key, value))
    assert f"{section}.{key}" in message
    assert repr(value) in message


@pytest.mark.parametrize("text", ["1e-3", "0.001", "1e-7", "2.5e-10", "1e6"])
def test_number_as_text_is_answered_with_the_number_to_write(text):
    message = refusal(changed("train_finetune", "lr", text))
    suggestion = message.rsplit("(", 1)[1].rstrip(")")
    assert float(suggestion) == float(text)
    assert "e" not in suggestion


OUT_OF_RANGE = {
    "base.seed": [-1, 2**31],
    "base.threads": [0],
    "base.image_size": [15, 1025],
    "base.device": ["gpu"],
    "base.precision": ["fp16"],
    "sample.count": [-1, 10_000],
    "split.data": [""],
    "split.train": [-0.1, float("nan")],
    "split.protocol": ["random"],
    "split.group_by": ["person", "", "(?P<person>.)", "(?P<group>"],
    "split.hash_distance": [17],
    "split.on_bad_image": ["ignore"],
    "split.max_megapixels": [0, 179],
    "audit.on_shortcut": ["ignore"],
    "audit.max_metadata": [0.4],
    "audit.max_picture": [1.1],
    "audit.folds": [1],
    "features.network": ["resnet50"],
    "features.weights": [""],
    "features.views": [0],
    "train_scratch.network": ["resnet18"],
    "train_scratch.augment": ["all"],
    "train_scratch.batch_size": [0],
    "train_extractor.lr": [0, -0.1, float("nan"), float("inf")],
    "train_extractor.momentum": [1.1, float("nan")],
    "train_extractor.weight_decay": [-1],
    "train_extractor.batchnorm": ["eval"],
    "train_finetune.schedule": ["cosine"],
    "train_finetune.step_size": [0],
    "train_finetune.gamma": [0],
    "train_finetune.keep": ["first"],
    "train_finetune.score_crops": [0, 2, 10],
    "split.store": ["square"],
    "robustness.images": [-1],
    "robustness.budget": [
        [],
        {"scratch": 0.1},
        {"scratch": {"jpeg_65": 1.5}},
        {"scratch": {"jpeg_65": -0.1}},
        {"scratch": {"jpeg_65": "0.1"}},
    ],
    "evaluate.resamples": [99],
    "evaluate.seeds": [1, [-1], [2**31], ["1"], [True]],
    "evaluate.leak": [None, "finetune", [3]],
    "aligned.sources": [None, ["faces"], {"a": ""}, {"../a": "faces"}],
    "aligned.autoencoder": [""],
    "aligned.max_side": [63, 4097],
    "aligned.mix": [-0.1, 1, float("nan")],
    "evaluate.leave_out": [None, "all", [3], ["a b"], ["../a"], ["-a"], ["a@b"], [""], ["$(id)"]],
    "train_extractor.balance": ["photo", True],
    "evaluate.extra_sets": [None, ["faces"], {"a": 3}, {"a": ""}, {3: "faces"}],
}


@pytest.mark.parametrize(("section", "key", "value"), rows(OUT_OF_RANGE))
def test_value_out_of_range_names_the_key(section, key, value):
    assert (section, key) in LEAVES
    assert f"{section}.{key}" in refusal(changed(section, key, value))


@pytest.mark.parametrize("section", ["features", "train_scratch", "train_finetune"])
def test_crop_larger_than_the_stored_image_is_refused(section):
    size = VALID["base"]["image_size"]
    check_params(changed(section, "crop_size", size), "params.yaml")
    message = refusal(changed(section, "crop_size", size + 1))
    assert f"{section}.crop_size" in message
    assert "base.image_size" in message


@pytest.mark.parametrize(
    ("protocol", "train", "val", "test"),
    [
        ("fractions", 0.8, 0.15, 0.1),
        ("fractions", 0.6, 0.0, 0.4),
        ("fractions", 600, 100, 100),
        ("counts", 0.6, 0.15, 0.25),
        ("counts", 10, 5, 2.5),
        ("counts", 10, 0, 5),
        ("article", 0.6, 0.0, 0.25),
        ("article", 0.6, 1.0, 0.25),
        ("task", 500, 50, 1),
    ],
)
def test_sizes_that_do_not_fit_the_protocol_are_refused(protocol, train, val, test):
    values = copy.deepcopy(VALID)
    values["split"] |= {"protocol": protocol, "train": train, "val": val, "test": test}
    assert f"protocol {protocol}" in refusal(values)


@pytest.mark.parametrize(
    ("protocol", "train", "val", "test"),
    [
        ("fractions", 0.1, 0.1, 0.1),
        ("fractions", 0.7, 0.2, 0.1),  # their sum in floating point is below 1
        ("fractions", 0.6, 0.3, 0.1),  # here it is above
        ("counts", 10, 5.0, 2),
        ("article", 0, 0.1, 0),
        ("task", 0, 0.1, 0),
    ],
)
def test_sizes_that_fit_the_protocol_are_accepted(protocol, train, val, test):
    values = copy.deepcopy(VALID)
    values["split"] |= {"protocol": protocol, "train": train, "val": val, "test": test}
    check_params(values, "params.yaml")


@pytest.mark.parametrize("fake", ["0_real", "./0_real", "0_real/part", ".", "../1_fake", "/1_fake"])
def test_class_folders_that_overlap_or_lie_outside_are_refused(fake):
    assert "real and fake" in refusal(changed("split", "fake", fake))


@pytest.mark.parametrize(("network", "least"), [("mynet", 96), ("vgg11", 32)])
def test_a_crop_that_the_network_pools_away_is_refused(network, least):
    values = changed("train_scratch", "network", network)
    values["train_scratch"]["crop_size"] = least
    check_params(values, "params.yaml")
    values["train_scratch"]["crop_size"] = least - 1
    assert f"{network} needs {least}" in refusal(values)


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "a/b", ".a", "-a", "a\n", "é", "a" * 41])
def test_a_set_whose_name_is_no_safe_folder_is_refused(name):
    message = refusal(changed("evaluate", "extra_sets", {name: "faces"}))
    assert "evaluate.extra_sets." in message
    assert "should match pattern" in message


@pytest.mark.parametrize("name", ["a", "stylegan2-tpdne_248", "0", "a" * 40])
def test_a_set_with_a_safe_name_is_accepted(name):
    assert check_params(changed("evaluate", "extra_sets", {name: "faces"}), "x").evaluate.extra_sets == {name: "faces"}


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("split", "data", "~/photos"), ("split", "data", "~"), ("aligned", "sources", {"a": "~/photos"}),
     ("evaluate", "extra_sets", {"a": "~/photos"}), ("train_finetune", "weights", "~/w.pt")],
)  # fmt: skip
def test_a_home_folder_is_answered_with_the_whole_path(monkeypatch, section, key, value):
    monkeypatch.setenv("HOME", "/home/anna")
    message = refusal(changed(section, key, value))
    path = value["a"] if isinstance(value, dict) else value
    assert f"{section}.{key}" in message
    assert message.endswith(f"{path!r}: ~ is not expanded here; write '/home/anna{path[1:]}'")


def test_a_name_that_begins_with_a_tilde_is_a_name():
    assert check_params(changed("split", "data", "~backup of 2024"), "x").split.data == "~backup of 2024"


def test_several_mistakes_are_counted():
    assert "(and 1 more)" in refusal(VALID | {"base": VALID["base"] | {"seed": -1, "threads": 0}})


@pytest.mark.parametrize("values", [None, [], "text", 3, {}, {"base": 3}, {"base": None}, {1: 2}])
def test_what_is_no_mapping_of_sections_is_refused(values):
    refusal(values)


def test_params_cannot_be_changed_after_loading():
    with pytest.raises(ValueError, match="frozen"):
        load_params(ROOT / "params.yaml").base.seed = 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "base: [1, 2",
        "base: {seed: 0\n",
        "base:\n\tseed: 0\n",
        "base:\n  seed: 0\n  seed: 1\n",
        "a: 1\n---\nb: 2\n",
        "base: *nowhere\n",
        "base: !!python/object/apply:os.system [true]\n",
        "base: 2001-99-99\n",
        "base: !!int x\n",
        "? {a: b}\n: c\n",
        "{[1]: 2}",
        "[" * 1000,
        "\x00",
        "- base\n- sample\n",
        "\udcff\udcfe",  # bytes that are no UTF-8
    ],
)
def test_broken_yaml_is_one_line_that_names_the_file(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UserError) as caught:
        load_params(path)
    one_line(caught, path)


def test_key_with_a_line_break_is_still_one_line():
    refusal(changed("base", "a\nb", 1))


@pytest.mark.parametrize(("name", "words"), [("params.yaml", "no such file"), (".", "cannot be read")])
def test_a_missing_file_and_a_folder_are_named(tmp_path, name, words):
    with pytest.raises(UserError, match=words) as caught:
        load_params(tmp_path / name)
    one_line(caught, tmp_path / name)


@given(leaf=st.sampled_from(LEAVES), value=ANYTHING)
@settings(max_examples=120, deadline=None)
def test_any_value_at_any_key_is_accepted_or_refused_in_one_line(leaf, value):
    message = "params.yaml"
    try:
        check_params(changed(*leaf, value), "params.yaml")
    except UserError as error:
        message = str(error)
    assert len(message.splitlines()) == 1
    assert "params.yaml" in message


@given(section=st.sampled_from(list(VALID)), key=SCALARS)
@settings(max_examples=60, deadline=None)
def test_any_unknown_key_is_refused_in_one_line(section, key):
    if (section, key) not in LEAVES:
        refusal(changed(section, key, 1))


@pytest.mark.parametrize("key", ["epochs", "crop_size"])
def test_a_misspelt_key_is_named_rather_than_the_one_that_is_then_missing(key):
    values = copy.deepcopy(VALID)
    values["train_scratch"][key[:-1]] = values["train_scratch"].pop(key)
    assert f"did you mean {key}?" in refusal(values)


@pytest.mark.parametrize("value", ["20", "20.0", 20.0])
def test_the_remedy_for_a_whole_number_is_one_that_is_accepted(value):
    message = refusal(changed("train_scratch", "epochs", value))
    assert "(20)" in message


@pytest.mark.parametrize(
    ("budget", "answer"),
    [
        ({"finetun": {}}, "'finetun' is not a known approach; did you mean finetune?"),
        ({"all": {}}, "allowed here: scratch, extractor, finetune"),
        ({"finetune": {"jpeg_66": 0.1}}, "'jpeg_66' is not a known perturbation; did you mean jpeg_65?"),
        ({"finetune": {"clean": 0.1}}, "'clean' is not a known perturbation; "),
    ],
)
def test_a_budget_for_what_does_not_exist_names_what_does(budget, answer):
    message = refusal(changed("robustness", "budget", budget))
    assert "robustness.budget." in message
    assert answer in message


@pytest.mark.parametrize("budget", [{}, {"finetune": {}}, {"scratch": {"jpeg_65": 0, "blur_2_jpeg_50": 0.25}}])
def test_budgets_that_are_accepted(budget):
    values = changed("robustness", "budget", budget)
    assert check_params(values, "params.yaml").robustness.budget == budget


@pytest.mark.parametrize(
    ("key", "value", "answer"),
    [
        ("leak", ["finetun"], "leak.0: 'finetun' is not a known approach; did you mean finetune?"),
        (
            "leak",
            ["finetune", "all"],
            "leak.1: 'all' is not a known approach; allowed here: scratch, extractor, finetune",
        ),
        ("leak", ["scratch", "scratch"], "leak: 'scratch' is listed twice"),
        ("leave_out", ["all", "sg2"], "leave_out: all means every generator: list it alone"),
        ("leave_out", ["sg2", "sg2"], "leave_out: 'sg2' is listed twice"),
        ("seeds", [1, 2, 1], "seeds: 1 is listed twice"),
        ("seeds", [1, 0], "evaluate.seeds lists 0, which is base.seed: that training is the pipeline's own"),
    ],
)
def test_variants_that_do_not_exist_or_are_there_already_are_refused(key, value, answer):
    assert answer in refusal(changed("evaluate", key, value))


def test_the_leak_is_measured_beside_whole_photos_only():
    values = changed("evaluate", "leak", ["scratch", "finetune"])
    assert check_params(values, "params.yaml").evaluate.leak == ["scratch", "finetune"]
    values["split"]["group_by"] = "none"
    assert "set split.group_by: photo, or evaluate.leak: []" in refusal(values)


def test_robust_is_best_with_its_augmentation_and_time_for_it():
    """Two recipes that differ in the augmentation, the epochs it takes and what they may lose show what it does."""
    plain, robust = BEST.model_dump(), ROBUST.model_dump()
    for section in ("features", "train_scratch", "train_finetune"):
        assert (plain[section].pop("augment"), robust[section].pop("augment")) == ("crop", "robust")
    assert (plain["train_finetune"].pop("epochs"), robust["train_finetune"].pop("epochs")) == (16, 24)
    assert plain["robustness"].pop("budget") == {}
    assert robust["robustness"].pop("budget") == {"finetune": {"jpeg_65": 0.08, "blur_1": 0.08}}
    assert plain == robust


# ------------------------------------------------------------------ files that were tampered with

TEXT = (ROOT / "params.yaml").read_text()
LINES = TEXT.splitlines(keepends=True)
PIECES = ["&a ", "*a", "<<: *a", "!!python/name:os.system ", "!!set {a, b}", "? ", ": ", "- ", "[", "{", "|", ">-", "'", '"',
          "%YAML 1.1\n---\n", "---\n", "~", ".nan", "1e999", "0x" + "f" * 5000, "2001-99-99", "\t", "\0", "\ufeff", "\x85", "é",
          "😀", "#", "x" * 300, "-0", "1_000", "no", "0o7"]  # fmt: skip
EDIT = st.tuples(st.integers(0, len(LINES) - 1), st.integers(0, 60), st.sampled_from(PIECES), st.integers(0, 4))


def mutated(edits) -> str:
    lines = list(LINES)
    for number, place, piece, kind in edits:
        line = lines[number]
        at = min(place, len(line))
        lines[number] = {
            0: line[:at] + piece + line[at:],
            1: "",
            2: line + line,
            3: line.partition(":")[0] + ": " + piece + "\n",
            4: " " * (place % 5) + line,
        }[kind]
    return "".join(lines)


SIGNS = st.text(alphabet=st.sampled_from("abe:-[]{}#&*!|>'\"%@`?, \n\t1.0~<=\x00é"), max_size=40)


@given(text=SIGNS | st.text() | st.lists(EDIT, min_size=1, max_size=5).map(mutated))
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_and_a_mutated_params_yaml_are_read_or_refused_in_one_line(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    message = f"{path}: "
    try:
        load_params(path)
    except UserError as error:
        message = str(error)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{path}: ")


def test_a_short_file_cannot_ask_for_a_message_of_gigabytes(tmp_path):
    """Ten references to ten references to ...: 10^9 words in 300 bytes."""
    laughs = "[&a [x, x, x, x, x, x, x, x, x, x]"
    for name, inner in zip("bcdefghi", "abcdefgh", strict=True):
        laughs += f", &{name} [" + ", ".join([f"*{inner}"] * 10) + "]"
    path = tmp_path / "params.yaml"
    for value in (laughs + "]", "0x" + "f" * 6000, "'" + "x" * 100_000 + "'"):
        path.write_text(TEXT.replace("threads: 2 ", f"threads: {value} ", 1))
        with pytest.raises(UserError, match=r"base\.threads") as caught:
            load_params(path)
        assert len(str(caught.value)) < 5000


def test_five_crops_of_the_whole_image_are_refused():
    values = changed("train_finetune", "score_crops", 5)
    check_params(values, "params.yaml")
    values["train_finetune"]["crop_size"] = values["base"]["image_size"]
    assert "train_finetune.score_crops = 5: all of them are the whole image" in refusal(values)


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        (
            "features",
            "network",
            "clip_vit_b16",
            "features.weights = imagenet: not available for clip_vit_b16; set openai",
        ),
        (
            "train_finetune",
            "weights",
            "openai",
            "weights = openai: not available for efficientnet_lite0; set imagenet",
        ),
        ("train_finetune", "tune", "layernorm", "train_finetune.tune = 'layernorm': must be 'all', 'norm' or 'head'"),
    ],
)
def test_weights_and_what_is_tuned_fit_the_network(section, key, value, words):
    assert words in refusal(changed(section, key, value))


def test_clip_has_no_batchnorm_to_move():
    values = changed("features", "network", "clip_vit_b16")
    values["features"]["weights"] = "openai"
    check_params(values, "params.yaml")
    values["train_extractor"]["batchnorm"] = "moving"
    assert "clip_vit_b16 has none" in refusal(values)
