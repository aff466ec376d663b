"""Which images go into train, val and test: whole groups at random, so that no photo is in two splits."""

import itertools
from collections.abc import Sequence

import numpy as np

from fakeface.core.errors import UserError, printable
from fakeface.core.params import ENOUGH_GROUPS
from fakeface.images.listing import given_split
from fakeface.images.store import SPLITS

GENERATOR = 20  # images in a sub-folder of the fakes, from which on it is missed in test


def class_sizes(
    protocol: str, train: float, val: float, test: float, available: list[int], names: list[str]
) -> np.ndarray:
    """How many images of each class each split takes: int64 [3, 2], rows train, val, test, columns real, fake.

    `fractions`: of each class; `counts`: images a class; `article`: 1499 a class to train, 500 to test; `task`: 500 a class to
    train, all others to test. In the last two, `val` is the fraction cut off the training images. `folders`: 0, they say.

    Args:
        available: number of real and fake images; `names`: their folders, for the message.

    Raises:
        UserError: a class has fewer images than the protocol asks for, or a split would stay empty.
    """
    sizes = np.zeros((3, 2), dtype=np.int64)
    for c, n in enumerate(available if protocol != "folders" else ()):
        if protocol == "fractions":
            n_test, n_val = round(test * n), round(val * n)
            n_train = min(round(train * n), n - n_test - n_val)
            if abs(train + val + test - 1) < 1e-9:
                n_train = n - n_test - n_val
        elif protocol == "counts":
            n_train, n_val, n_test = int(train), int(val), int(test)
        else:
            whole = 1499 if protocol == "article" else 500
            n_val = round(val * whole)
            n_train = whole - n_val
            n_test = 500 if protocol == "article" else n - whole
        need = n_train + n_val + max(n_test, 1)
        if need > n and protocol != "fractions":
            raise UserError(
                f"{names[c]}: has {n} images, but split.protocol {protocol} asks for {need}; "
                "add images, or set split.protocol: fractions in params.yaml"
            )
        if min(n_train, n_val, n_test) < 1:
            raise UserError(
                f"{names[c]}: {n} images give {n_train} train, {n_val} val and {n_test} test; "
                "add images, or change split.train, split.val and split.test in params.yaml"
            )
        sizes[:, c] = n_train, n_val, n_test
    return sizes


def assign(labels: np.ndarray, groups: np.ndarray, sizes: np.ndarray, *, rest: str, seed: int) -> np.ndarray:
    """Gives every image a split, whole groups together.

    Large groups are placed first, while there is room; each goes to a split drawn with the odds of the room left there, so
    a group's size does not decide its split. Groups of one image, or of one real and one fake, always fill `sizes` exactly.

    Args:
        labels: int [N], 0 or 1.
        groups: int [N], equal numbers stay together.
        sizes: int [3, 2] from `class_sizes`.
        rest: where a group goes that fits nowhere (`train` or `unused`).

    Where `rest` is train, a val or test that would have no image of a class takes the smallest group that train can spare.

    Returns:
        str [N]: train, val, test or unused.
    """
    rng = np.random.default_rng(seed)
    _, inverse = np.unique(groups, return_inverse=True)
    counts = np.zeros((inverse.max() + 1, 2), dtype=np.int64)
    np.add.at(counts, (inverse, labels), 1)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    room = sizes.copy()
    chosen = np.empty(len(counts), dtype=object)
    for g in order:
        fits = (room >= counts[g]).all(1)
        if not fits.any():
            chosen[g] = rest
            continue
        odds = np.where(fits, room[:, counts[g] > 0].sum(1), 0).astype(float)
        split = rng.choice(3, p=odds / odds.sum())
        room[split] -= counts[g]
        chosen[g] = SPLITS[split]
    for name, label in itertools.product(("val", "test") if rest == "train" else (), (0, 1)):
        spare = [g for g in order if chosen[g] == "train" and counts[g, label]]
        wanted = sizes[SPLITS.index(name), label]
        if wanted and len(spare) > 1 and not counts[chosen == name, label].any():
            chosen[min(spare, key=lambda g: counts[g].sum())] = name
    return chosen[inverse].astype(str)


def keep_given(stems: Sequence[str], labels: np.ndarray, groups: np.ndarray, val: float, seed: int) -> np.ndarray:
    """The split that folders called train, val and test say: str [N]. Without val that fraction of train becomes it, by groups.

    Raises:
        UserError: an image is in none of them, or train or test is missing.
    """
    split = np.array([given_split(stem)[0] for stem in stems], dtype=object)
    outside = [stem for stem, name in zip(stems, split, strict=True) if not name]
    missing = {"train", "test"} - set(split)
    if outside or missing:
        what = f"{outside[0]} is in none of them" if outside else f"there is no {' and no '.join(sorted(missing))}"
        raise UserError(
            f"split.protocol folders needs folders train and test, perhaps val, above or below the class folders: {what}"
        )
    if "val" not in split:
        train = split == "train"
        n = np.bincount(labels[train], minlength=2)
        n_val = np.rint(val * n).astype(np.int64)
        split[train] = assign(
            labels[train], groups[train], np.array([n - n_val, n_val, 0 * n]), rest="train", seed=seed
        )
    return split.astype(str)


def check_filled(labels: np.ndarray, split: np.ndarray, sizes: np.ndarray, largest: int) -> list[str]:
    """Sentences on splits that came out smaller or larger than `sizes`, because groups stay whole, the `largest` of so
    many images; empty when all is exact.

    Raises:
        UserError: a split has no image of a class at all.
    """
    notes = []
    for row, name in zip(sizes, SPLITS, strict=True):
        got = [int(((split == name) & (labels == c)).sum()) for c in (0, 1)]
        if min(got) == 0 and not sizes.any():
            lacks = "no real" if got[0] == 0 else "no fake"
            raise UserError(
                f"split.protocol folders: {name} has {lacks} images; add some there, or set split.protocol: fractions"
            )
        if min(got) == 0:
            raise UserError(
                f"{name} would have {got[0]} real and {got[1]} fake images: groups stay whole, the largest has {largest} images; "
                "add faces of other people, or change split.train, val, test, group_by or hash_distance in params.yaml"
            )
        if got != row.tolist():
            notes.append(
                f"{name} has {got[0]} real and {got[1]} fake images, not {row[0]} and {row[1]}: groups stay whole"
            )
    return notes


def twins_across(source: np.ndarray, split: np.ndarray, other: str) -> int:
    """How many test images have an image of the same photo in the split `other`: what a random split leaks."""
    return int(np.isin(source[split == "test"], source[split == other]).sum())


def thin(stems: Sequence[str], labels: np.ndarray, splits: np.ndarray, source: np.ndarray) -> list[str]:
    """What val and test are too small for, in words: val to tell any detector from guessing, test to judge a generator.

    Args:
        stems: paths without suffix, relative to the class folder; labels: int [N]; splits: str [N]; source: int64 [N], groups.
    """
    notes = []
    val = min(len(np.unique(source[(splits == "val") & (labels == label)])) for label in (0, 1))
    if 0 < val < ENOUGH_GROUPS:
        notes.append(
            f"val has {val} photos or groups of a class, but {ENOUGH_GROUPS} are needed to tell a detector from guessing: every "
            "verdict will be unsure; add images, raise split.val, or set split.group_by: photo if they are not persons"
        )
    first = np.array([given_split(stem)[1].partition("/")[0] if "/" in given_split(stem)[1] else "" for stem in stems])
    folders, counts = np.unique(first[labels == 1], return_counts=True)
    missing = [
        f"{name} ({count})"
        for name, count in zip(folders.tolist(), counts.tolist(), strict=True)
        if name and count >= GENERATOR and not ((first == name) & (labels == 1) & (splits == "test")).any()
    ]
    if missing:
        notes.append(
            f"no test image of these sub-folders of the fakes: {', '.join(map(printable, missing))}; if they are generators, "
            "they will not be measured: set split.group_by: photo"
        )
    return notes
