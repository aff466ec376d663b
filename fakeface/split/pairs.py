"""Which images come from one photo. A fake made from a real photo is its twin: both belong in the same split."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fakeface.split.likeness import NAMED, UNNAMED, alike_pairs, likeness
from fakeface.split.names import proposals

# Near pairs gathered before they are handed on: linking costs a pass over all images.
BLOCK = 100_000


@dataclass(frozen=True)
class Groups:
    """`source`: int64 [N], one number a photo, in order of first appearance.

    `named`: fakes whose names propose photos; `confirmed`: those that look like one of them; `names_trusted`: whether most do;
    `look_alikes`, `near_duplicates`: pairs that no names propose, alike by `likeness` or linked by their hashes;
    `found_unnamed`: of the pairs that names propose and pixels confirm, the share that pixels alone would have found; None
    where names say nothing.
    """

    source: np.ndarray
    named: int
    confirmed: int
    names_trusted: bool
    look_alikes: int
    near_duplicates: int
    found_unnamed: float | None


def perceptual_hash(pixels: np.ndarray) -> int:
    """uint8 [3, S, S] -> 64-bit pHash (DCT of a 32x32 grey thumbnail; Zauner 2010, as the ImageHash package does it)."""
    return int(str(imagehash.phash(Image.fromarray(pixels.transpose(1, 2, 0)))), 16)


def group_images(table: Any, looks: np.ndarray, distance: int) -> Groups:
    """`group` of what `read_images` gives: a DataFrame, and what the images look like."""
    labels, digests, hashes = (table[key].to_numpy() for key in ("label", "sha256", "hash"))
    return group(table["stem"].tolist(), labels, digests, hashes, looks, distance)


def group(
    stems: Sequence[str], labels: np.ndarray, sha256: np.ndarray, hashes: np.ndarray, looks: np.ndarray, distance: int
) -> Groups:
    """Groups images by source photo.

    Linked are: equal bytes; hashes at most `distance` bits apart; a `likeness` of `UNNAMED`, or of `NAMED` where names propose
    it (`names.proposals`). Where at least half of the fakes that have one photo to go with in one way look like it, so do the
    others: an edit may be stronger than the pixels can tell. Two unrelated numbered sets are not linked by their numbers.

    Args:
        stems: file names without suffix, relative to the class folder; labels: int [N], 0 real, 1 fake.
        sha256: str [N], digests of the files.
        hashes: uint64 [N] perceptual hashes; looks: int8 [N, 1024] from `likeness.describe`.
        distance: bits, 0 to 64.
    """
    everyone = np.arange(len(stems))
    named, ways = proposals(stems, labels)
    like = likeness(looks, named)
    confirmed = like >= NAMED
    fake = named[:, 1]
    alone = np.bincount(fake, minlength=len(stems))[fake] == 1  # one photo to go with
    way = first_equal(ways)
    most = 2 * np.bincount(way[alone & confirmed], minlength=len(way)) >= np.bincount(way[alone], minlength=len(way))
    twins = named[confirmed | (alone & most[way])]
    source = join(everyone, twins[:, 0], twins[:, 1])
    source = join(source, first_equal(sha256), everyone)

    # Each hash and each look once: a thousand copies of one picture are half a million pairs, and one entry here.
    values, first, which, times = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
    source = join(source, first[which], everyone)
    near = int((times * (times - 1) // 2).sum())
    for i, j in (block.T for block in near_pairs(values, distance)):
        source = join(source, first[i], first[j])
        near += int((times[i] * times[j]).sum())
    near -= int((np.bitwise_count(hashes[named[:, 0]] ^ hashes[fake]) <= distance).sum())

    first, which, times = np.unique(
        first_equal(blake2b(look, digest_size=16).digest() for look in looks), return_inverse=True, return_counts=True
    )
    edged = np.array([looks[i].any() for i in first], dtype=bool)  # plain pictures have no look
    source = join(source, first[which][edged[which]], everyone[edged[which]])
    alike = int((times * (times - 1) // 2)[edged].sum())
    for i, j in (block.T for block in alike_pairs(looks if len(first) == len(looks) else looks[first])):
        source = join(source, first[i], first[j])
        alike += int((times[i] * times[j]).sum())
    alike -= int((like >= UNNAMED).sum())

    names, sure = len(np.unique(fake)), len(np.unique(fake[confirmed]))
    alone_found = float((like[confirmed] >= UNNAMED).mean()) if 2 * sure >= names > 0 else None
    return Groups(source.astype(np.int64), names, sure, 2 * sure >= names, alike, near, alone_found)


def near_pairs(hashes: np.ndarray, distance: int) -> Iterator[np.ndarray]:
    """All pairs i < j with hashes at most `distance` bits apart, each once: uint64 [N] -> blocks int64 [P, 2], in any order.

    By the pigeonhole principle two such hashes agree on at least one of `distance + 1` bands of bits, so only images that
    share a band are compared. Blocks, because all pairs at once may be more than the memory holds.
    """
    edges = np.linspace(0, 64, distance + 2).astype(int).tolist()
    bands = [np.uint64((1 << high) - (1 << low)) for low, high in pairwise(edges)]
    block: list[np.ndarray] = []
    gathered = 0
    for k, band in enumerate(bands):
        for pairs in equal_pairs(hashes & band):
            differ = hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]
            close = np.flatnonzero(np.bitwise_count(differ) <= distance)
            for earlier in bands[:k]:  # a pair that agrees there too has been given already
                close = close[differ[close] & earlier != 0]
            if len(close):
                block.append(pairs[close])
                gathered += len(close)
            if gathered >= BLOCK:
                yield np.concatenate(block)
                block, gathered = [], 0
    if block:
        yield np.concatenate(block)


def equal_pairs(keys: np.ndarray) -> Iterator[np.ndarray]:
    """All pairs i < j with equal keys: int [N] -> blocks int64 [P, 2], P under N."""
    order = np.argsort(keys, kind="stable")
    _, counts = np.unique(keys, return_counts=True)
    end = np.repeat(np.cumsum(counts), counts)  # where the run of equal keys ends, for each place in `order`
    place, step = np.arange(len(keys)), 1
    while len(place := place[place + step < end[place]]):
        yield np.stack([order[place], order[place + step]], axis=1)
        step += 1


def first_equal(values: Iterable[str | bytes]) -> np.ndarray:
    """For each value the index of the first one equal to it: int64 [N]."""
    seen: dict[str | bytes, int] = {}
    return np.array([seen.setdefault(value, i) for i, value in enumerate(values)], dtype=np.int64)


def join(source: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`source` (int64 [N], numbers of groups in order of first appearance) after linking image a[k] with b[k], all k at once."""
    n = int(source.max(initial=-1)) + 1
    links = coo_array((np.ones(len(a), dtype=bool), (source[a], source[b])), shape=(n, n))
    return connected_components(links, directed=False)[1][source]
