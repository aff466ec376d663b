"""Which fakes may be made from which real photos, by their file names alone: they propose, pixels confirm."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

Words = tuple[str, ...]

MOST_PHOTOS = 8  # of one name; where more have it, it says nothing
MOST_WORDS = 12  # of a name that are tried as part of it


def same_name(text: str) -> str:
    """One form for all ways to write a name: composed and decomposed Unicode, upper and lower case."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def proposals(stems: Sequence[str], labels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Pairs of a real image and a fake that may be made from it.

    A name is its words and numbers: `0001_fake`, `Fake-1`, `stargan/0001` all have the number 1. A fake goes with the photos
    whose whole name is the longest part of its own, first with those in a folder of the same name. A word that nine of ten of a
    class have in their names (`img_0001`) does not count.

    Args:
        stems: paths without suffix, relative to the class folder, POSIX.
        labels: int [N], 0 real, 1 fake.

    Returns:
        int64 [P, 2] rows (real, fake), by fake; for each pair in which way the names go together: the fake's folder, and what
        its name has in addition to the photo's.
    """
    split = [_split(stem) for stem in stems]
    for label in (0, 1):
        members = [i for i in range(len(split)) if labels[i] == label]
        often = Counter(word for i in members for word in set(split[i][2]))
        drop = {word for word, times in often.items() if 10 * times > 9 * len(members) and not word.isdecimal()}
        for i in members:
            folders, words, longer = split[i]
            words, longer = (tuple(w for w in some if w not in drop) or some for some in (words, longer))
            split[i] = folders, words, longer
    photos: dict[tuple[str, Words], list[int]] = defaultdict(list)
    for i, (folders, words, longer) in enumerate(split):
        for key in {("", words), ("", longer), *((folder, words) for folder in folders)} if labels[i] == 0 else ():
            photos[key].append(i)

    pairs, ways = [], []
    for i, (folders, words, longer) in enumerate(split):
        found = (_photos(photos, folders, words) or _photos(photos, folders, longer)) if labels[i] == 1 else {}
        pairs += [(row, i) for row in sorted(found)]
        ways += [found[row] for row in sorted(found)]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2), ways


def _photos(photos: dict[tuple[str, Words], list[int]], folders: Words, words: Words) -> dict[int, str]:
    """Rows of the photos whose name is the longest part of `words`, and in which way each goes with it."""
    n = len(words)
    for length in range(n, 0, -1) if n <= MOST_WORDS else (n,):
        found: dict[int, str] = {}
        for start in range(n - length + 1):
            part = words[start : start + length]
            rows = next((photos[f, part] for f in (*reversed(folders), "") if (f, part) in photos), [])
            rest = [re.sub(r"\d+", "#", word) for word in (*words[:start], "*", *words[start + length :])]
            if len(rows) <= MOST_PHOTOS:
                found |= dict.fromkeys(rows, "/".join([*folders, " ".join(rest)]))
        if found:
            return found
    return {}


def _split(stem: str) -> tuple[Words, Words, Words]:
    """Folders; words of the name; the same after those of its folder, for anna/0001 may be called anna_0001 elsewhere."""
    *folders, name = same_name(stem).split("/")
    words = _words(name)
    return tuple(folders), words, (_words(folders[-1]) if folders else ()) + words


def _words(name: str) -> Words:
    """Words and numbers of a name; numbers without leading zeros."""
    words = re.findall(r"[^\W\d_]+|\d+", name) or [name]
    return tuple(word.lstrip("0") or "0" if word.isdecimal() else word for word in words)
