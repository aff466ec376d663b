"""Which images count as one photo."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from threadpoolctl import threadpool_limits

from fakeface.images.decode import decode
from fakeface.images.degrade import jpeg, resize
from fakeface.split import likeness as likenesses
from fakeface.split import pairs
from fakeface.split.likeness import LENGTH, NAMED, UNNAMED, alike_pairs, describe, likeness
from fakeface.split.pairs import equal_pairs, group, join, near_pairs, perceptual_hash

DATA = os.environ.get("FAKEFACE_DATA", "")
needs_faces = pytest.mark.skipif(
    not DATA, reason="FAKEFACE_DATA is not set: name the folder that holds stargan-celeba-128 and stylegan2-tpdne-248"
)
RNG = np.random.default_rng(0)
FAR = RNG.integers(0, 2**64, 64, dtype=np.uint64)  # random hashes: about 32 of 64 bits apart


STRANGE = RNG.normal(size=(64, 1024))  # random looks: their correlations lie within 0.15 of 0


def look(like=None, correlation=0.0, own=63):
    """A descriptor with this correlation to stranger number `like`; without one, of a plain picture."""
    if like is None:
        return np.zeros(1024, dtype=np.int8)
    one = STRANGE[like] / np.linalg.norm(STRANGE[like])
    other = STRANGE[own] - one * (STRANGE[own] @ one)
    mixed = one * correlation + other / np.linalg.norm(other) * np.sqrt(1 - correlation**2)
    return np.rint(mixed * LENGTH).clip(-127, 127).astype(np.int8)


def grouped(stems, labels, hashes, distance=4, sha256=None, looks=None):
    names = sha256 or [f"digest {i}" for i in range(len(stems))]
    looks = np.stack([look()] * len(stems) if looks is None else looks)
    return group(stems, np.array(labels), names, np.array(hashes, dtype=np.uint64), looks, distance)


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
    seen=st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.3, 0.5, 0.8, 1.0])), min_size=30, max_size=30),
    distance=st.integers(0, 16),
)
@settings(max_examples=80, deadline=None)
def test_groups_are_those_of_a_plain_search(hashes, names, seen, distance):
    """Every rule of the docstring, pair by pair."""
    n = len(hashes)
    names = names[:n]
    stems, labels = [stem for stem, _ in names], [label for _, label in names]
    looks = [look(like, correlation, 60 - i) for i, (like, correlation) in enumerate(seen[:n])]
    every = [(i, j) for i in range(n) for j in range(i + 1, n)]
    bits = {(i, j): (hashes[i] ^ hashes[j]).bit_count() for i, j in every}
    like = dict(
        zip(every, likeness(np.stack(looks), np.array(every, dtype=np.int64).reshape(-1, 2)).tolist(), strict=True)
    )
    photos = {j: [i for i in range(n) if (stems[i], labels[i]) == (stems[j], 0)] for j in range(n) if labels[j]}
    twins = [(min(i, j), max(i, j)) for j, all_i in photos.items() if len(all_i) <= 8 for i in all_i]
    fakes = {pair: pair[labels[pair[1]]] for pair in twins}
    confirmed = [pair for pair in twins if like[pair] >= NAMED]
    single = [pair for pair in twins if len(photos[fakes[pair]]) == 1]
    trusted = 2 * len(set(single) & set(confirmed)) >= len(single)
    near, alike = ([p for p in every if bits[p] <= distance], [p for p in every if like[p] >= UNNAMED])
    source = list(range(n))
    for i, j in confirmed + near + alike + (single if trusted else []):
        old, new = max(source[i], source[j]), min(source[i], source[j])
        source = [new if k == old else k for k in source]
    groups = grouped(stems, labels, hashes, distance, looks=looks)
    assert groups.source.tolist() == [sorted(set(source)).index(k) for k in source]
    named, sure = len(set(fakes.values())), len({fakes[pair] for pair in confirmed})
    assert (groups.named, groups.confirmed, groups.names_trusted) == (named, sure, 2 * sure >= named)
    assert (groups.near_duplicates, groups.look_alikes) == (len(set(near) - set(twins)), len(set(alike) - set(twins)))


def test_many_copies_of_one_picture_cost_no_more_than_others():
    """20 000 equal hashes are 200 million pairs: counted, never listed."""
    n = 20_000
    hashes = np.full(n, FAR[0])
    hashes[::1000] = FAR[1]
    groups = grouped([str(i) for i in range(n)], [0] * (n - 1) + [1], hashes)
    assert set(groups.source.tolist()) == {0, 1}
    assert groups.near_duplicates == 19_980 * 19_979 // 2 + 20 * 19 // 2


STRANGERS = [look(i, 1) for i in range(16)]


def test_equal_names_of_unrelated_images_are_not_trusted():
    groups = grouped([*"abcdefgh", *"abcdefgh"], [0] * 8 + [1] * 8, FAR[:16], looks=STRANGERS)
    assert (groups.named, groups.confirmed, groups.names_trusted, groups.found_unnamed) == (8, 0, False, None)
    assert groups.source.tolist() == list(range(16))


def test_one_twin_beyond_the_pixels_stays_a_twin_when_most_are_confirmed():
    """A strong edit changes the picture; the other names have shown that equal names mean equal photos."""
    looks = [*STRANGERS[:4], look(0, 0.9), look(1, 0.5), look(2, 0.8), STRANGERS[9]]
    groups = grouped([*"abcd", *"abcd"], [0] * 4 + [1] * 4, FAR[:8], looks=looks)
    assert (groups.named, groups.confirmed, groups.names_trusted) == (4, 3, True)
    assert groups.found_unnamed == 2 / 3
    assert groups.source.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


@pytest.mark.parametrize(("name", "correlation"), [("a", 0.45), ("other", 0.7)])
def test_a_twin_among_strangers_is_linked_by_its_pixels(name, correlation):
    """Where the name proposes it less is enough."""
    looks = [*STRANGERS[:8], look(0, correlation), *STRANGERS[9:]]
    groups = grouped([*"abcdefgh", name, *"bcdefgh"], [0] * 8 + [1] * 8, FAR[:16], looks=looks)
    assert not groups.names_trusted
    assert groups.source[0] == groups.source[8]
    assert len(set(groups.source.tolist())) == 15


def test_generators_are_trusted_one_by_one():
    """The fakes of one are edits of the photos of their names, those of the other have the numbers by chance."""
    stems = [*"abcdefgh", *(f"edits/{s}" for s in "abcdefgh"), *(f"own/{s}" for s in "abcdefgh")]
    looks = [*STRANGERS[:8], *(look(i, 0.9, 20 + i) for i in range(7)), *(look(i, 1) for i in range(30, 39))]
    groups = grouped(stems, [0] * 8 + [1] * 16, FAR[:24], looks=looks)
    assert groups.source.tolist() == [*range(8), *range(8), *range(8, 16)]


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
    assert (first ^ other).bit_count() > 18


@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.floats(0.3, 1), st.booleans()), max_size=30),
    block=st.tuples(*[st.integers(1, 9)] * 2),
    many=st.sampled_from([1, 1000]),
)
@settings(max_examples=40, deadline=None)
def test_alike_pairs_are_those_of_brute_force_each_once(rows, block, many):
    """Those of more than `many` looks are bounded first."""
    looks = np.array([look(like, c, 60 - i) for i, (like, c, _) in enumerate(rows)], dtype=np.int8).reshape(-1, 32, 32)
    looks = np.array([one[:, ::-1] if row[2] else one for one, row in zip(looks, rows, strict=True)]).reshape(-1, 1024)
    looks = looks.astype(np.int8)
    flipped = looks.reshape(-1, 32, 32)[:, :, ::-1].reshape(-1, 1024)
    exact = np.maximum(*(looks.astype(int) @ x.T.astype(int) * times for x, times in ((looks, 16), (flipped, 13)))) / 16
    wanted = [[i, j] for j in range(len(rows)) for i in range(j) if exact[i, j] >= UNNAMED * LENGTH**2]
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):  # threads of small work wait for each other
        for name, value in {"ROWS": block[0], "COLUMNS": block[1], "MANY": many}.items():
            patch.setattr(likenesses, name, value)
        found = [pair for b in alike_pairs(looks) for pair in b.tolist()]
    assert sorted(found) == sorted(wanted)


@pytest.mark.parametrize("check", [0, 1e12])
@pytest.mark.parametrize("kind", ["faces", "noise", "one", "plain"])
def test_no_likeness_is_above_its_bound(kind, check, monkeypatch):
    """With the fewest components, and with as many as help; equal looks, and mirrored ones, come nearest to it."""
    rng = np.random.default_rng(3)
    smooth = np.apply_along_axis(np.convolve, 1, rng.normal(size=(60, 1024)), np.ones(5), "same")
    looks = {"faces": smooth, "noise": STRANGE, "one": STRANGE[:1], "plain": STRANGE[:3] * [[0], [1], [0]]}[kind]
    lengths = np.linalg.norm(looks, axis=1, keepdims=True)
    looks = np.rint(looks / np.where(lengths, lengths, 1) * LENGTH).clip(-127, 127).astype(np.int8)
    looks = np.concatenate([looks, looks.reshape(-1, 32, 32)[:, :, ::-1].reshape(-1, 1024)])
    monkeypatch.setattr(likenesses, "CHECK", check)
    with threadpool_limits(1):
        u, v = (x @ x.T for x in likenesses._bounds(looks, np.float32(0.649 * 2 * LENGTH**2)))
    same, opposite = (half @ half.T for half in likenesses._halves(looks))
    slack = likenesses.SLACK * 2 * LENGTH**2 / 20
    assert (u + v >= same + opposite - slack).all()
    assert (u - v >= same - opposite - slack).all()


@pytest.mark.parametrize(
    "edit",
    [
        lambda image: np.clip(image.astype(float) * 0.6 + 60, 0, 255),  # light
        lambda image: image * np.array([[[1]], [[0.8]], [[0.5]]]),  # colour
        lambda image: jpeg(image, 30),
        lambda image: resize(image, 0.5),
        lambda image: np.where(np.arange(96) < 30, 128, image),  # a third of it covered
    ],
)
def test_an_edit_looks_like_its_photo_and_another_photo_does_not(edit):
    coarse = np.random.default_rng(2).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    photo, other = (np.asarray(Image.fromarray(c).resize((96, 96))).transpose(2, 0, 1) for c in coarse)
    looks = np.stack([describe(image.astype(np.uint8)) for image in (photo, edit(photo), other)])
    like, unlike = likeness(looks, np.array([[0, 1], [0, 2]]))
    assert unlike < NAMED < UNNAMED < like


def test_a_look_is_of_one_length_and_a_plain_picture_has_none():
    picture = RNG.integers(0, 256, (3, 50, 50), dtype=np.uint8)
    assert abs(np.linalg.norm(describe(picture).astype(float)) / LENGTH - 1) < 0.01
    assert not describe(np.full((3, 50, 50), 77, dtype=np.uint8)).any()


def group_faces(folder, count, size, names=lambda label, stem: stem):
    stems, labels, digests, hashes, looks = [], [], [], [], []
    for label, name in enumerate(("0_real", "1_fake")):
        for path in sorted((folder / name).glob("*.jpg"))[:count]:
            image = decode(path, size, 50)
            stems.append(names(label, path.stem))
            labels.append(label)
            digests.append(image.sha256)
            hashes.append(perceptual_hash(image.pixels))
            looks.append(describe(image.pixels))
    return stems, grouped(stems, labels, hashes, sha256=digests, looks=looks)


@needs_faces
def test_real_faces_and_their_stargan_edits_are_twins():
    _, groups = group_faces(Path(DATA) / "stargan-celeba-128", 300, 128)
    assert (groups.named, groups.confirmed, groups.names_trusted, groups.found_unnamed) == (300, 300, True, 1)
    assert all(groups.source[i] == groups.source[300 + i] for i in range(300))
    assert len(set(groups.source.tolist())) >= 295


@needs_faces
def test_twins_are_found_under_names_of_strangers():
    mixed = np.random.default_rng(0).permutation(2000)
    _, groups = group_faces(
        Path(DATA) / "stargan-celeba-128", 300, 128, lambda label, stem: str(mixed[int(stem)]) if label else stem
    )
    assert (groups.names_trusted, groups.found_unnamed) == (False, None)
    assert all(groups.source[i] == groups.source[300 + i] for i in range(300))
    assert len(set(groups.source.tolist())) >= 295


@needs_faces
def test_two_unrelated_sets_of_faces_are_not_paired():
    count = iter(range(400))
    stems, groups = group_faces(
        Path(DATA) / "stylegan2-tpdne-248", 200, 256, lambda label, stem: str(next(count) % 200)
    )
    assert groups.named == 200
    assert groups.confirmed <= 2
    assert not groups.names_trusted
    assert len(set(groups.source.tolist())) >= 0.98 * len(stems)
