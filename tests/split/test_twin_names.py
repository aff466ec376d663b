"""Which photo a fake's name points to, however people write names."""

import unicodedata

import numpy as np
import pytest

from fakeface.split.names import proposals


def pairs(reals, fakes):
    """The proposals as names."""
    stems, labels = [*reals, *fakes], np.repeat([0, 1], [len(reals), len(fakes)])
    rows, ways = proposals(stems, labels)
    assert len(ways) == len(rows)
    return [(stems[i], stems[j]) for i, j in rows.tolist()]


@pytest.mark.parametrize(
    ("real", "fake"),
    [
        ("{}", "{}"),
        ("{}", "stargan/{}"),
        ("{}", "Generator A/v2/{}"),
        ("shard/{}", "{}"),
        ("{}", "{}_fake"),
        ("{}", "{}-generated"),
        ("{}", "{} (edited) 2"),
        ("{}", "fake_{}"),
        ("{}", "fake{}"),
        ("real{}", "fake{}"),
        ("{}_real", "{}_fake"),
        ("img_{}", "IMG_{}"),
        ("a photo of {}", "{}.png.out"),
        ("person {}", "PERSON {}_StarGAN_blond_hair"),
        (unicodedata.normalize("NFC", "Zoé {}"), unicodedata.normalize("NFD", "zoé {}")),
        ("ﬁ {}", "FI {}"),  # a ligature
        ("000{}", "{}"),
    ],
)
def test_every_fake_goes_with_its_photo_and_no_other(real, fake):
    reals, fakes = ([name.format(k) for k in (101, 202, 1012, 3)] for name in (real, fake))
    assert pairs(reals, fakes) == list(zip(reals, fakes, strict=True))


def test_a_swap_of_two_goes_with_both_and_persons_with_their_own_folder():
    assert pairs(["000", "003", "004"], ["000_003"]) == [("000", "000_003"), ("003", "000_003")]
    flat = [name.replace("/", "_") + "_fake" for name in ("anna/1", "bob/1")]
    assert pairs(["anna/1", "bob/1"], flat) == [("anna/1", flat[0]), ("bob/1", flat[1])]
    assert pairs(["anna_1", "bob_1"], ["x/anna/1", "x/bob/01"]) == [("anna_1", "x/anna/1"), ("bob_1", "x/bob/01")]
    people = [f"person{k}/{i}" for k in range(20) for i in range(3)]
    assert pairs(people, [f"fakes/{name}" for name in people]) == [(name, f"fakes/{name}") for name in people]


def test_the_longest_part_of_a_name_counts():
    assert pairs(["7", "clip_7", "clip"], ["clip_7_out", "x"]) == [("clip_7", "clip_7_out")]


def test_names_that_many_photos_have_and_other_names_propose_nothing():
    assert pairs([f"{k}/0" for k in range(9)], ["x/0"]) == []
    assert pairs(["anna", "🙂"], ["bob", "🙃", "annabel"]) == []
    assert pairs(["🙂"], ["🙂"]) == [("🙂", "🙂")]
    assert pairs([], []) == []


def test_a_name_of_hundreds_of_words_is_compared_as_a_whole():
    long = "_".join(map(str, range(10**3)))
    assert pairs(["5", long], [long]) == [(long, long)]


def test_ways_tell_folders_and_additions_apart():
    stems = ["1", "2", "a/1", "a/2", "b/1", "1_x7", "2_x8"]
    ways = proposals(stems, np.array([0, 0, 1, 1, 1, 1, 1]))[1]
    assert ways[0] == ways[1] != ways[2]
    assert ways[3] == ways[4] != ways[0]
