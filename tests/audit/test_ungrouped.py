"""When names suggest that persons or recordings are torn apart, and which line of params.yaml keeps them together."""

import re

import numpy as np
import pytest

from fakeface.audit.ungrouped import ungrouped
from fakeface.split.grouping import group_names

PERSONS, FRAMES = range(4), range(6)


def findings(reals, fakes, split=None):
    labels = np.repeat([0, 1], [len(reals), len(fakes)])
    drawn = np.random.default_rng(0).choice(["train", "val", "test"], len(labels))
    return ungrouped([*reals, *fakes], labels, drawn if split is None else split)


@pytest.mark.parametrize(
    "name",
    [
        "vid{p}-{f:03}-00",
        "00{p}_{f:04}",
        "anna{p}x{f}",
        "Bob_Lee{p}_{f:04}",
        "s{p}/frame_{f}",
        "{p}/{f}",
        "clip {p}/{f} (1)",
    ],
)
def test_frames_and_persons_are_seen_and_the_line_groups_them(name):
    stems = [name.format(p=p, f=f) for p in PERSONS for f in FRAMES]
    (found,) = findings(stems, [f"{k}" for k in range(20)])
    value = re.search(r"split\.group_by: (\S+) in params\.yaml", found.remedy)[1].strip("'")
    assert found.status == "warn"
    groups = np.array(group_names(stems, value)).reshape(len(PERSONS), len(FRAMES))
    assert all(len(set(row)) == 1 for row in groups.tolist())
    assert len(set(groups[:, 0].tolist())) == len(PERSONS)


@pytest.mark.parametrize(
    ("real", "fake"),
    [
        ("{k:04}", "{k:04}"),
        ("img_{k}", "fake_{k}"),
        ("{k}", "gen{g}/{k}"),
        ("{k}_a", "{k}_fake_2"),
        ("{k:06x}", "{k:032x}"),
    ],
)
def test_plain_numbers_one_prefix_and_a_folder_a_generator_are_no_warning(real, fake):
    numbers = [{"k": k * 7919, "g": k % 3} for k in range(60)]
    assert findings([real.format(**n) for n in numbers], [fake.format(**n) for n in numbers]) == []


def test_frames_that_stay_together_are_no_warning():
    stems = [f"vid{p}_{f}" for p in PERSONS for f in FRAMES]
    assert findings(stems, [], np.repeat(["train", "train", "val", "test"], len(FRAMES))) == []
    assert findings([], stems) != []
