"""The stage `split`: decodes all images once, groups them by photo, splits the groups, keeps the pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fakeface.core.errors import printable
from fakeface.core.files import sha256, whole, write_csv, write_json
from fakeface.core.params import Base, Params, Split
from fakeface.images import decode as images
from fakeface.images import store
from fakeface.images.faces import cut_natively
from fakeface.images.listing import given_split, left_out
from fakeface.split import grouping, protocols
from fakeface.split.pairs import group_images
from fakeface.split.read import read_images


@dataclass(frozen=True)
class Made:
    """A split: `manifest`, the columns of `store.COLUMNS`; `skipped`, path and reason of images that cannot be used; `summary`,
    figures for summary.json, whose `data_hash` is that of the file manifest.csv, once it is written; `notes`, sentences."""

    manifest: pd.DataFrame
    skipped: list[tuple[str, str]]
    summary: dict[str, Any]
    notes: list[str]


def split(params: Params) -> None:
    p = params.split
    with whole("data/split") as folder:
        folder.mkdir()
        made = make_split(params.base, p, folder / "pixels.npy")
        made.manifest.to_csv(folder / "manifest.csv", index=False, lineterminator="\n")
        places = [Path(place).resolve() for place in (p.data, params.aligned_source()) if place]
        write_json(folder / store.FACTS, {"drawings": Path("data/sample").resolve() in places})
        summary = made.summary | {"data_hash": sha256(folder / "manifest.csv")}
    skipped = pd.DataFrame([(printable(path), reason) for path, reason in made.skipped], columns=["path", "reason"])
    write_csv("reports/split/skipped.csv", skipped)
    write_json("reports/split/summary.json", summary)
    for note in made.notes:
        print(f"note: {note}")
    print(", ".join(f"{name} {sum(summary[name].values())}" for name in store.SPLITS), end="; ")
    print(
        f"{summary['test_images_with_twin_in_train']} test images have their twin in train; {len(made.skipped)} skipped"
    )


def make_split(base: Base, p: Split, pixels: Path) -> Made:
    """Decodes all images into the file `pixels`, groups them by photo and splits the groups.

    Raises:
        UserError: the folder, its images or the sizes of the split do not allow it.
    """
    found = images.find_images(p.data, p.real, p.fake)
    unused = left_out(p.data, p.real, p.fake)
    manifest, looks, bad = read_images(Path(p.data), found, pixels, base, p)
    labels = manifest["label"].to_numpy()
    available = [int((labels == c).sum()) for c in (0, 1)]
    sizes = protocols.class_sizes(
        p.protocol, p.train, p.val, p.test, available, [f"{p.data}/{p.real}", f"{p.data}/{p.fake}"]
    )
    groups = group_images(manifest, looks, p.hash_distance)
    names = grouping.group_names(manifest["stem"].tolist(), p.group_by)
    grouping.check_names(names, p.group_by)
    source = grouping.together(groups.source, names)
    first, members = np.unique(source, return_index=True, return_counts=True)[1:]
    uses_all = p.protocol == "fractions" and abs(p.train + p.val + p.test - 1) < 1e-9
    rest = "train" if uses_all else store.UNUSED
    kept = np.arange(len(manifest)) if p.group_by == "none" else source
    if p.protocol == "folders":
        splits = protocols.keep_given(manifest["stem"].tolist(), labels, kept, p.val, base.seed)
        sizes = np.array([[((splits == name) & (labels == c)).sum() for c in (0, 1)] for name in store.SPLITS])
    else:
        splits = protocols.assign(labels, kept, sizes, rest=rest, seed=base.seed)
    manifest["split"] = splits
    notes = protocols.check_filled(labels, splits, sizes, int(np.bincount(kept).max()))
    torn = int((pd.Series(splits).groupby(source).nunique() > 1).sum()) if p.protocol == "folders" else 0
    if torn:
        notes.append(f"{torn} photos or groups are in several of the given splits: figures on test are too optimistic")
    if p.protocol != "folders" and manifest["stem"].map(lambda stem: given_split(stem)[0]).astype(bool).any():
        notes.append("the data folder has a ready-made split, which is not used; split.protocol: folders keeps it")
    if groups.found_unnamed is None:
        said = (
            f"of {groups.named} fakes named like a photo {groups.confirmed} look like it"
            if groups.named
            else "none does"
        )
        notes.append(
            f"names do not tell which fake is made from which photo ({said}); twins are found by their pixels alone"
        )
    notes += protocols.thin(manifest["stem"].tolist(), labels, splits, source)
    alone = names.count("") if any(names) else 0
    if alone:
        notes.append(f"{alone} images match no group of split.group_by; only their photos are kept together")
    manifest["source"] = manifest["path"].str.rsplit(".", n=1).str[0].to_numpy()[first][source]
    counts: dict[str, dict[str, int]] = {}
    summary = {
        "images": len(manifest),
        "skipped": len(bad),
        "left_out": unused,
        "photos": int(groups.source.max()) + 1,
        "groups": len(first),
        "largest_group": int(members.max()),
        "images_without_group": alone,
        "same_name_pairs": groups.named,
        "same_name_pairs_confirmed": groups.confirmed,
        "names_trusted": groups.names_trusted,
        "twins_found_without_names": groups.found_unnamed,
        "look_alikes": groups.look_alikes,
        "near_duplicates": groups.near_duplicates,
        "groups_in_several_given_splits": torn,
        "test_images_with_twin_in_train": protocols.twins_across(groups.source, splits, "train"),
        "test_images_with_twin_in_val": protocols.twins_across(groups.source, splits, "val"),
        "data_hash": "",
    }
    if p.store == "native":
        summary["native_pixels"] = _native_counts(manifest, base.image_size)
    for name in (*store.SPLITS, store.UNUSED):
        chosen = splits == name
        counts[name] = {"real": int((chosen & (labels == 0)).sum()), "fake": int((chosen & (labels == 1)).sum())}
    if unused:
        notes.append("not used: " + ", ".join(f"{n} {printable(kind)}" for kind, n in unused.items()))
    return Made(manifest[store.COLUMNS], bad, summary | counts, notes)


def _native_counts(manifest: pd.DataFrame, size: int) -> dict[str, dict[str, int]]:
    """Images a class that were cut at native scale, those of them around a face, and that were enlarged to `size`."""
    sides = manifest[["width", "height"]].to_numpy()
    counts = {}
    for label, kind in enumerate(("real", "fake")):
        mine = (manifest["label"] == label).to_numpy()
        cut = mine & np.array([cut_natively(both, size) for both in sides.tolist()])
        faces = mine & manifest["face"].to_numpy(dtype=bool)
        enlarged = mine & (sides.min(axis=1) < size)
        counts[kind] = {"cropped": int(cut.sum()), "around_a_face": int(faces.sum()), "enlarged": int(enlarged.sum())}
    return counts
