"""`fakeface experiments`: the accuracies and what was changed, nothing else."""

from fakeface.tracking.table import table

BASE = {"State": None, "data_hash": "ab", "scratch.accuracy_low": 0.9, "base.seed": 0.0, "split.data": "data/sample"}
BASE |= {"reports/split/summary.json:photos": 3.0, "fakeface/files.py": "1234", "train.real": 7.0}
TEST = "balanced_accuracy_at_threshold"
SCORED = {"accuracy": 0.7, TEST: 0.9, "model_sha256": "a"}


def row(name, rev, **values):
    return {**BASE, "Experiment": name, "rev": rev, **values}


def test_only_accuracies_and_what_differs_are_columns():
    """The test figure is the headline, not accuracy at 0.5; it is shown where it is of the row's own model.

    DVC puts files before keys that several of them have."""
    val, model = (f"reports/train/finetune/metrics.json:{name}" for name in ("val_accuracy", "model_sha256"))
    own = {val: 0.98889, model: "a", "train_finetune.lr": 0.001}
    rows = [
        row(None, "workspace", **own, **{f"finetune.{TEST}": 1.0, "finetune.model_sha256": "a"}),
        row(None, "main", **own, **{f"reports/evaluate/metrics.json:finetune.{k}": v for k, v in SCORED.items()}),
        row("hot", "c0ffee1", **{val: 0.5, model: "b", f"finetune.{TEST}": 1.0, "finetune.model_sha256": "a"}),
        row("old", "c0ffee2", **{val: 0.5, f"finetune.{TEST}": 1.0, "train_finetune.lr": 0.5, "split.data": "x"}),
    ]
    shown = table(rows)
    assert shown.to_dict("list") == {
        "experiment": ["workspace", "main", "hot", "old"],
        "val finetune": ["0.9889", "0.9889", "0.5000", "0.5000"],
        "test finetune": ["1.0000", "0.9000", "", ""],
        "split.data": ["data/sample", "data/sample", "data/sample", "x"],
        "train_finetune.lr": ["0.001", "0.001", "", "0.5"],
    }


def test_val_is_balanced_where_its_classes_differ_in_number():
    of = {
        f"reports/train/scratch/metrics.json:val_{kind}": v
        for kind, v in (("accuracy", 0.9), ("balanced_accuracy", 0.5))
    }
    assert table([row(None, "workspace", **of)])["val scratch"].tolist() == ["0.5000"]


def test_one_that_waits_says_so():
    shown = table(
        [row(None, "workspace"), row("done", "c0ffee3", State="Success"), row("next", "c0ffee2", State="Queued")],
    )
    assert shown.to_dict("list") == {"experiment": ["workspace", "done", "next"], "state": ["", "", "Queued"]}
