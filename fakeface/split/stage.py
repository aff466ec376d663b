"""The stage `split`: decodes all images once, groups them by photo, splits the groups, keeps the pixels."""

from pathlib import Path

import numpy as np
import pandas as pd

from fakeface.core.errors import printable
from fakeface.core.files import sha256, whole, write_csv, write_json
from fakeface.core.params import Params
from fakeface.images import decode as images
from fakeface.images import store
from fakeface.images.faces import cut_natively
from fakeface.images.listing import given_split, left_out
from fakeface.split import grouping, protocols
from fakeface.split.pairs import group_images
from fakeface.split.read import read_images


def split(params: Params) -> None:
    base, p = params.base, params.split
    found = images.find_images(p.data, p.real, p.fake)
    unused = left_out(p.data, p.real, p.fake)
    with whole("data/split") as folder:
        folder.mkdir()
        manifest, looks, bad = read_images(Path(p.data), found, folder / "pixels.npy", params)
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
            notes.append(
                f"{torn} photos or groups are in several of the given splits: figures on test are too optimistic"
            )
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
        manifest[store.COLUMNS].to_csv(folder / "manifest.csv", index=False, lineterminator="\n")
        places = [Path(place).resolve() for place in (p.data, params.aligned_source()) if place]
        write_json(folder / store.FACTS, {"drawings": Path("data/sample").resolve() in places})

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
            "data_hash": sha256(folder / "manifest.csv"),
        }
        if p.store == "native":
            summary["native_pixels"] = _native_counts(manifest, base.image_size)
        for name in (*store.SPLITS, store.UNUSED):
            chosen = splits == name
            counts[name] = {"real": int((chosen & (labels == 0)).sum()), "fake": int((chosen & (labels == 1)).sum())}
    skipped = pd.DataFrame([(printable(path), reason) for path, reason in bad], columns=["path", "reason"])
    write_csv("reports/split/skipped.csv", skipped)
    write_json("reports/split/summary.json", summary | counts)
    if unused:
        notes.append("not used: " + ", ".join(f"{n} {printable(kind)}" for kind, n in unused.items()))
    for note in notes:
        print(f"note: {note}")
    print(", ".join(f"{name} {sum(counts[name].values())}" for name in store.SPLITS), end="; ")
    print(f"{summary['test_images_with_twin_in_train']} test images have their twin in train; {len(bad)} skipped")


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
