"""Which images come from one photo. A fake made from a real photo is its twin: both belong on one side of a split."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import imagehash
import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# Two hashes of one photo, one of them edited, differ in few of 64 bits; two photos of different people in about 32.
TWIN_DISTANCE = 18
# Near pairs gathered before they are handed on: linking costs a pass over all images.
BLOCK = 100_000


@dataclass(frozen=True)
class Groups:
    """`source`: int64 [N], one number a photo, in order of first appearance.

    `same_stem`: pairs (one real, one fake) that share a file name; `confirmed`: those whose hashes agree too;
    `stems_trusted`: whether equal names mean equal photos; `near_duplicates`: pairs of different names
    linked by their hashes alone.
    """

    source: np.ndarray
    same_stem: int
    confirmed: int
    stems_trusted: bool
    near_duplicates: int


def perceptual_hash(pixels: np.ndarray) -> int:
    """uint8 [3, S, S] -> 64-bit pHash (DCT of a 32x32 grey thumbnail; Zauner 2010, as the ImageHash package does it)."""
    return int(str(imagehash.phash(Image.fromarray(pixels.transpose(1, 2, 0)))), 16)


def group(stems: np.ndarray, labels: np.ndarray, sha256: np.ndarray, hashes: np.ndarray, distance: int) -> Groups:
    """Groups images by source photo.

    Linked are: equal bytes; hashes at most `distance` bits apart; equal stems. Where fewer than half of the real-fake pairs
    of one name look alike, as in two unrelated numbered sets, equal names are a coincidence: then only those that do.

    Args:
        stems: str [N], file names without suffix, relative to the class folder.
        labels: int [N], 0 real, 1 fake.
        sha256: str [N], digests of the files.
        hashes: uint64 [N] perceptual hashes.
        distance: bits, 0 to 64.
    """
    everyone = np.arange(len(stems))
    source = everyone
    by_name = first_equal(stems)
    named = np.concatenate([np.empty((0, 2), dtype=np.int64), *equal_pairs(by_name)])
    bits = np.bitwise_count(hashes[named[:, 0]] ^ hashes[named[:, 1]])
    twins = labels[named[:, 0]] != labels[named[:, 1]]
    alike = named[twins & (bits <= TWIN_DISTANCE)]
    trusted = len(alike) * 2 >= int(twins.sum())
    if trusted:
        source = join(source, by_name, everyone)
    source = join(source, alike[:, 0], alike[:, 1])
    source = join(source, first_equal(sha256), everyone)

    # Each hash once: a thousand copies of one picture are half a million pairs, and one entry here.
    values, first, which, times = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
    source = join(source, first[which], everyone)
    near = int((times * (times - 1) // 2).sum())
    for i, j in (block.T for block in near_pairs(values, distance)):
        source = join(source, first[i], first[j])
        near += int((times[i] * times[j]).sum())
    other_names = near - int((bits <= distance).sum())
    return Groups(source.astype(np.int64), int(twins.sum()), len(alike), trusted, other_names)


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


def first_equal(values: Iterable[str]) -> np.ndarray:
    """For each value the index of the first one equal to it: int64 [N]."""
    seen: dict[str, int] = {}
    return np.array([seen.setdefault(value, i) for i, value in enumerate(values)], dtype=np.int64)


def join(source: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`source` (int64 [N], numbers of groups in order of first appearance) after linking image a[k] with b[k], all k at once."""
    n = int(source.max(initial=-1)) + 1
    links = coo_array((np.ones(len(a), dtype=bool), (source[a], source[b])), shape=(n, n))
    return connected_components(links, directed=False)[1][source]
