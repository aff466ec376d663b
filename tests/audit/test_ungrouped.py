"""When names suggest that persons or recordings are torn apart, and which line of params.yaml keeps them together."""

import re

import numpy as np
import pytest

from fakeface.audit.persons import without_generators
from fakeface.audit.ungrouped import ungrouped
from fakeface.split.grouping import group_names

PERSONS, FRAMES = range(4), range(6)


def findings(reals, fakes, split=None):
    labels = np.repeat([0, 1], [len(reals), len(fakes)])
    drawn = np.random.default_rng(0).choice(["train", "val", "test"], len(labels))
    return ungrouped([*reals, *fakes], labels, drawn if split is None else split, np.arange(len(labels)), 0)


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


PEOPLE = {
    "person_{p:02}": r"^(?P<group>person_[^/]+)/",
    "{p:03}": r"^(?P<group>\d+)/",
    "celeba/p{p}": "^(?P<group>celeba/p[^/]+)/",
    "{name}'s": r"^(?:(?:sfhq|style\-gan)/)?+(?P<group>[^/]+)/",
}


@pytest.mark.parametrize("folder", PEOPLE)
@pytest.mark.parametrize("below", ["", "train/"])
def test_persons_are_grouped_and_generators_are_not(folder, below):
    persons = [folder.format(p=p, name="anna andy bea carl dora"[p::12] + str(p)) for p in range(12)]
    reals = [f"{below}{person}/{f}" for person in persons for f in FRAMES]
    fakes = [f"{below}{gan}/img_{k}" for gan in ("sfhq", "style-gan") for k in range(40)]
    (found,) = findings(reals, fakes)
    value = re.fullmatch(r"set split\.group_by: '(.*)' in params\.yaml, unless .*", found.remedy)[1].replace("''", "'")
    assert value == PEOPLE[folder]
    assert group_names([*reals, *fakes], value) == [person for person in persons for _ in FRAMES] + [""] * len(fakes)


@pytest.mark.parametrize(
    ("reals", "fakes", "groups"),
    [
        (["p{p}/clip{f}/{f}"], ["photogan/{f}"], ["p{p}"]),  # a generator whose name begins as theirs
        (["celeba/{p}/{f}", "ffhq/{p}/{f}"], ["gan/seeds/{f}"], ["celeba/{p}", "ffhq/{p}"]),
        (["p{p}/{f}"], ["p{p}/{f}x", "gan/{f}"], ["p{p}"]),
    ],
)
def test_of_odd_layouts_the_persons_are_found_too(reals, fakes, groups):
    stems = [[name.format(p=p, f=f) for name in names for p in range(12) for f in FRAMES] for names in (reals, fakes)]
    value = without_generators(stems[0] + stems[1], np.repeat([0, 1], [*map(len, stems)]))
    assert group_names(stems[0], value) == [name.format(p=p) for name in groups for p in range(12) for _ in FRAMES]
    assert {*group_names(stems[1], value)} <= {"", *group_names(stems[0], value)}


def test_a_person_below_a_generator_is_that_person():
    reals = [f"p{p}/{f}" for p in range(12) for f in FRAMES]
    fakes = [f"gan{g}/p{p}/{f}" for g in range(2) for p in range(12) for f in range(3)]
    labels = np.repeat([0, 1], [len(reals), len(fakes)])
    value = without_generators([*reals, *fakes], labels)
    assert group_names(fakes, value) == [name.split("/")[1] for name in fakes]


def test_the_numbers_of_a_generator_are_no_recording_and_what_the_split_refuses_is_not_advised():
    reals = [f"vid{p}_{f}" for p in range(12) for f in FRAMES]
    (found,) = findings(reals, [f"fake_{k}" for k in range(60)])
    value = re.search("group_by: '(.*)' in", found.remedy)[1]
    assert group_names(["vid3_1", "fake_1"], value) == ["vid3_", ""]
    (found,) = findings([f"p{p}/{f}" for p in range(2) for f in range(30)], [str(k) for k in range(60)])
    assert found.remedy.startswith("add faces of other people, since with split.group_by: folder ")
