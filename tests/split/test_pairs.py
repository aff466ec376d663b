"""Which images count as one photo."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fakeface.images.decode import decode
from fakeface.split import pairs
from fakeface.split.pairs import TWIN_DISTANCE, equal_pairs, group, join, near_pairs, perceptual_hash

DATA = os.environ.get("FAKEFACE_DATA", "")
needs_faces = pytest.mark.skipif(
    not DATA, reason="FAKEFACE_DATA is not set: name the folder that holds stargan-celeba-128 and stylegan2-tpdne-248"
)
RNG = np.random.default_rng(0)
FAR = RNG.integers(0, 2**64, 64, dtype=np.uint64)  # random hashes: about 32 of 64 bits apart


def flipped(value, bits):
    for bit in range(bits):
        value ^= np.uint64(1 << (bit * 3))
    return value


def grouped(stems, labels, hashes, distance=4, sha256=None):
    names = sha256 or [f"digest {i}" for i in range(len(stems))]
    return group(stems, np.array(labels), names, np.array(hashes, dtype=np.uint64), distance)


@st.composite
def clustered(draw):
    """Hashes, some of them a few bits away from others, some equal."""
    hashes = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5))
    noise = draw(st.lists(st.tuples(st.integers(0, 4), st.lists(st.integers(0, 63), max_size=8)), max_size=25))
    for which, bits in noise:
        value = hashes[which % len(hashes)]
        for bit in bits:
            value ^= 1 << bit
        hashes.append(value)
    return hashes


@given(hashes=clustered(), distance=st.integers(0, 64), block=st.integers(1, 50))
@settings(max_examples=80, deadline=None)
def test_near_pairs_are_those_of_brute_force_each_once(hashes, distance, block):
    n = len(hashes)
    wanted = [[i, j] for i in range(n) for j in range(i + 1, n) if (hashes[i] ^ hashes[j]).bit_count() <= distance]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "BLOCK", block)
        found = [pair for b in near_pairs(np.array(hashes, dtype=np.uint64), distance) for pair in b.tolist()]
    assert sorted(found) == wanted


@pytest.mark.parametrize("n", [0, 1])
def test_near_pairs_of_nothing_are_no_block(n):
    assert list(near_pairs(FAR[:n], 4)) == []


@given(keys=st.lists(st.integers(0, 5), max_size=30))
def test_equal_pairs_are_those_of_brute_force(keys):
    wanted = [[i, j] for i in range(len(keys)) for j in range(i + 1, len(keys)) if keys[i] == keys[j]]
    blocks = list(equal_pairs(np.array(keys, dtype=np.int64)))
    assert sorted(pair for block in blocks for pair in block.tolist()) == wanted
    assert all(0 < len(block) < len(keys) for block in blocks)


@given(links=st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=40), cut=st.integers(0, 40))
def test_join_numbers_groups_in_order_of_first_appearance(links, cut):
    source = np.arange(20)
    for part in (links[:cut], links[cut:]):
        source = join(source, *np.array(part, dtype=np.int64).reshape(-1, 2).T)
    groups = [{i} for i in range(20)]
    for i, j in links:
        if groups[i] is not groups[j]:
            groups[i] |= groups[j]
            for k in groups[i]:
                groups[k] = groups[i]
    firsts = sorted({min(group) for group in groups})
    assert source.tolist() == [firsts.index(min(group)) for group in groups]


@given(
    hashes=clustered(),
    names=st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 1)), min_size=30, max_size=30),
    distance=st.integers(0, 16),
)
@settings(max_examples=80, deadline=None)
def test_groups_are_those_of_a_plain_search(hashes, names, distance):
    """Every rule of the docstring, pair by pair."""
    n = len(hashes)
    names = names[:n]
    stems, labels = [stem for stem, _ in names], [label for _, label in names]
    every = [(i, j) for i in range(n) for j in range(i + 1, n)]
    bits = {(i, j): (hashes[i] ^ hashes[j]).bit_count() for i, j in every}
    twins = [(i, j) for i, j in every if stems[i] == stems[j] and labels[i] != labels[j]]
    alike = [pair for pair in twins if bits[pair] <= TWIN_DISTANCE]
    trusted = 2 * len(alike) >= len(twins)
    near = [pair for pair in every if bits[pair] <= distance]
    source = list(range(n))
    for i, j in alike + near + [(i, j) for i, j in every if trusted and stems[i] == stems[j]]:
        old, new = max(source[i], source[j]), min(source[i], source[j])
        source = [new if k == old else k for k in source]
    groups = grouped(stems, labels, hashes, distance)
    assert groups.source.tolist() == [sorted(set(source)).index(k) for k in source]
    assert (groups.same_stem, groups.confirmed, groups.stems_trusted) == (len(twins), len(alike), trusted)
    assert groups.near_duplicates == sum(stems[i] != stems[j] for i, j in near)


def test_many_copies_of_one_picture_cost_no_more_than_others():
    """20 000 equal hashes are 200 million pairs: counted, never listed."""
    n = 20_000
    hashes = np.full(n, FAR[0])
    hashes[::1000] = FAR[1]
    groups = grouped([str(i) for i in range(n)], [0] * (n - 1) + [1], hashes)
    assert set(groups.source.tolist()) == {0, 1}
    assert groups.near_duplicates == 19_980 * 19_979 // 2 + 20 * 19 // 2


def test_equal_names_of_unrelated_images_are_not_trusted():
    groups = grouped([*"abcdefgh", *"abcdefgh"], [0] * 8 + [1] * 8, FAR[:16])
    assert not groups.stems_trusted
    assert (groups.same_stem, groups.confirmed) == (8, 0)
    assert groups.source.tolist() == list(range(16))


def test_one_twin_beyond_the_hashes_stays_a_twin_when_most_are_confirmed():
    """A strong edit changes the hash; the other names have shown that equal names mean equal photos."""
    hashes = [*FAR[:4], FAR[0], FAR[1], FAR[2], FAR[9]]
    groups = grouped([*"abcd", *"abcd"], [0] * 4 + [1] * 4, hashes)
    assert (groups.same_stem, groups.confirmed, groups.stems_trusted) == (4, 3, True)
    assert groups.source.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_confirmed_twin_among_unrelated_names_is_linked_all_the_same():
    """Beyond `distance`, so by its name and the looser bound for twins."""
    hashes = [*FAR[:8], flipped(FAR[0], 12), *FAR[9:16]]
    groups = grouped([*"abcdefgh", *"abcdefgh"], [0] * 8 + [1] * 8, hashes)
    assert not groups.stems_trusted
    assert groups.source[0] == groups.source[8]
    assert len(set(groups.source.tolist())) == 15


def test_same_bytes_under_other_names_are_one_photo():
    groups = grouped(["a", "b", "c"], [0, 0, 1], FAR[:3], sha256=["x", "y", "x"])
    assert groups.source.tolist() == [0, 1, 0]


def test_perceptual_hash_survives_jpeg_and_tells_pictures_apart():
    coarse = np.random.default_rng(1).integers(0, 256, (2, 6, 6, 3), dtype=np.uint8)
    a, b = (np.asarray(Image.fromarray(c).resize((64, 64), Image.Resampling.BICUBIC)) for c in coarse)
    lighter = np.clip(a.astype(int) + 20, 0, 255).astype(np.uint8)
    first, same, other = (perceptual_hash(image.transpose(2, 0, 1)) for image in (a, lighter, b))
    assert 0 <= first < 2**64
    assert (first ^ same).bit_count() <= 8
    assert (first ^ other).bit_count() > TWIN_DISTANCE


def group_faces(folder, count, size):
    stems, labels, digests, hashes = [], [], [], []
    for label, name in enumerate(("0_real", "1_fake")):
        for path in sorted((folder / name).glob("*.jpg"))[:count]:
            image = decode(path, size, 50)
            stems.append(path.stem)
            labels.append(label)
            digests.append(image.sha256)
            hashes.append(perceptual_hash(image.pixels))
    return stems, grouped(stems, labels, hashes, sha256=digests)


@needs_faces
def test_real_faces_and_their_stargan_edits_are_twins():
    _, groups = group_faces(Path(DATA) / "stargan-celeba-128", 300, 128)
    assert groups.stems_trusted
    assert groups.same_stem == 300
    assert groups.confirmed >= 290
    assert all(groups.source[i] == groups.source[300 + i] for i in range(300))
    assert len(set(groups.source.tolist())) >= 295


@needs_faces
def test_two_unrelated_sets_of_faces_are_not_paired():
    stems, groups = group_faces(Path(DATA) / "stylegan2-tpdne-248", 200, 256)
    assert groups.confirmed <= 2
    assert not groups.stems_trusted or groups.same_stem == 0
    assert len(set(groups.source.tolist())) >= 0.98 * len(stems)
