"""Which images come from one photo. A fake made from a real photo is its twin: both belong on one side of a split."""

from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image

# Two hashes of one photo, one of them edited, differ in few of 64 bits; two photos of different people in about 32.
TWIN_DISTANCE = 18


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


def group(stems: list[str], labels: np.ndarray, sha256: list[str], hashes: np.ndarray, distance: int) -> Groups:
    """Groups images by source photo.

    Linked are: equal bytes; hashes at most `distance` bits apart; equal stems. Where fewer than half of the real-fake pairs
    of one name look alike, as in two unrelated numbered sets, equal names are a coincidence: then only those that do.

    Args:
        stems: N file names without suffix, relative to the class folder.
        labels: int [N], 0 real, 1 fake.
        sha256: N digests of the files.
        hashes: uint64 [N] perceptual hashes.
        distance: bits, 0 to 64.
    """
    n = len(stems)
    parent = np.arange(n)

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def link(i: int, j: int) -> None:
        a, b = find(i), find(j)
        parent[max(a, b)] = min(a, b)

    by_stem: dict[str, list[int]] = {}
    for i, stem in enumerate(stems):
        by_stem.setdefault(stem, []).append(i)
    pairs = [(i, j) for same in by_stem.values() for i in same for j in same if labels[i] == 0 and labels[j] == 1]
    alike = [(i, j) for i, j in pairs if _bits(hashes[i] ^ hashes[j]) <= TWIN_DISTANCE]
    trusted = len(alike) * 2 >= len(pairs)
    if trusted:
        for same in by_stem.values():
            for j in same[1:]:
                link(same[0], j)
    for i, j in alike:
        link(i, j)

    first: dict[str, int] = {}
    for i, digest in enumerate(sha256):
        link(first.setdefault(digest, i), i)
    near = near_pairs(hashes, distance)
    for i, j in near:
        link(int(i), int(j))

    roots = np.array([find(i) for i in range(n)], dtype=np.int64)
    _, source = np.unique(roots, return_inverse=True)  # roots are each group's first image, so numbers follow the order
    other_names = sum(stems[i] != stems[j] for i, j in near)
    return Groups(source.astype(np.int64), len(pairs), len(alike), trusted, other_names)


def near_pairs(hashes: np.ndarray, distance: int) -> np.ndarray:
    """All pairs i < j with hashes at most `distance` bits apart: uint64 [N] -> int64 [P, 2], sorted.

    By the pigeonhole principle two such hashes agree on at least one of `distance + 1` bands of bits, so only images that
    share a band are compared.
    """
    edges = np.linspace(0, 64, distance + 2).astype(int)
    found: set[tuple[int, int]] = set()
    for low, high in neighbours(edges):
        mask = np.uint64(((1 << (high - low)) - 1) << low)
        band = hashes & mask
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.r_[True, band[order][1:] != band[order][:-1], True])
        for start, end in neighbours(starts):
            bucket = np.sort(order[start:end])
            for k in range(len(bucket) - 1):
                rest = bucket[k + 1 :]
                close = rest[np.bitwise_count(hashes[bucket[k]] ^ hashes[rest]) <= distance]
                found.update((int(bucket[k]), int(j)) for j in close)
    return np.array(sorted(found), dtype=np.int64).reshape(-1, 2)


def neighbours(values: np.ndarray) -> list[tuple[int, int]]:
    """Neighbours: [a, b, c] -> [(a, b), (b, c)]."""
    return list(zip(values[:-1].tolist(), values[1:].tolist(), strict=True))


def _bits(value: np.uint64) -> int:
    return int(value).bit_count()
