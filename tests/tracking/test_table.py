"""`fakeface experiments`: the accuracies and what was changed, nothing else."""

from fakeface.tracking.table import table

BASE = {"State": None, "data_hash": "ab", "scratch.accuracy_low": 0.9, "base.seed": 0.0, "split.data": "data/sample"}
BASE |= {"reports/split/summary.json:photos": 3.0, "fakeface/files.py": "1234", "train.real": 7.0}


def row(name, rev, **values):
    return {**BASE, "Experiment": name, "rev": rev, **values}


def test_only_accuracies_and_what_differs_are_columns():
    val = "reports/train/finetune/metrics.json:val_accuracy"
    rows = [
        row(None, "workspace", **{val: 0.98889, "finetune.accuracy": 1.0, "train_finetune.lr": 0.001}),
        row(None, "main", **{val: 0.98889, "finetune.accuracy": 1.0, "train_finetune.lr": 0.001}),
        row("hot", "c0ffee1", **{val: 0.5, "finetune.accuracy": 1.0, "train_finetune.lr": 0.5, "split.data": "x"}),
    ]
    shown = table(rows, lambda row, approach: row["rev"] != "c0ffee1")
    assert shown.to_dict("list") == {
        "experiment": ["workspace", "main", "hot"],
        "val finetune": ["0.9889", "0.9889", "0.5000"],
        "test finetune": ["1.0000", "1.0000", ""],
        "split.data": ["data/sample", "data/sample", "x"],
        "train_finetune.lr": ["0.001", "0.001", "0.5"],
    }


def test_one_that_waits_says_so():
    shown = table(
        [row(None, "workspace"), row("done", "c0ffee3", State="Success"), row("next", "c0ffee2", State="Queued")],
        lambda row, approach: True,
    )
    assert shown.to_dict("list") == {"experiment": ["workspace", "done", "next"], "state": ["", "", "Queued"]}
