"""The stage `split`: decodes all images once, groups them by photo, splits the groups, keeps the pixels."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from fakeface.core.errors import UserError, printable
from fakeface.core.files import sha256, whole, write_json, write_text
from fakeface.core.params import Params
from fakeface.images import decode as images
from fakeface.images import store
from fakeface.split import pairs, protocols


def split(params: Params) -> None:
    base, p = params.base, params.split
    found = images.find_images(p.data, p.real, p.fake)
    rows: list[tuple[str, str, int, str, int, int, str]] = []
    hashes: list[int] = []

    def keep(item: images.Found, image: images.Decoded) -> None:
        rows.append((item.path, item.stem, item.label, image.sha256, image.width, image.height, image.format))
        hashes.append(pairs.perceptual_hash(image.pixels))

    with whole("data/split") as folder:
        folder.mkdir()
        decoded = store.decode_all(Path(p.data), found, base.image_size, p.max_megapixels, base.threads)
        progress = tqdm(decoded, total=len(found), desc="decode", unit="image", disable=None)
        bad = store.write_pixels(folder / "pixels.npy", iter(progress), len(found), base.image_size, keep)
        if bad and p.on_bad_image == "fail":
            more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
            remedy = "repair or remove it, or set split.on_bad_image: skip in params.yaml"
            raise UserError(f"{Path(p.data) / bad[0][0]}: {bad[0][1]}{more}; {remedy}")

        if not rows:
            raise UserError(f"{p.data}: none of its {len(bad)} images can be used; the first: {bad[0][0]} {bad[0][1]}")

        manifest = pd.DataFrame(rows, columns=["path", "stem", "label", "sha256", "width", "height", "format"])
        labels = manifest["label"].to_numpy()
        available = [int((labels == c).sum()) for c in (0, 1)]
        sizes = protocols.class_sizes(
            p.protocol, p.train, p.val, p.test, available, [f"{p.data}/{p.real}", f"{p.data}/{p.fake}"]
        )
        groups = pairs.group(
            manifest["stem"].tolist(),
            labels,
            manifest["sha256"].tolist(),
            np.array(hashes, dtype=np.uint64),
            p.hash_distance,
        )
        together = groups.source if p.group_by == "photo" else np.arange(len(manifest))
        uses_all = p.protocol == "fractions" and abs(p.train + p.val + p.test - 1) < 1e-9
        rest = "train" if uses_all else store.UNUSED
        manifest["split"] = protocols.assign(labels, together, sizes, rest=rest, seed=base.seed)
        notes = protocols.check_filled(labels, manifest["split"].to_numpy(), sizes)
        if not groups.stems_trusted:
            notes.append("most files of one name do not look alike: equal names alone do not make twins here")
        first = np.unique(groups.source, return_index=True)[1]
        manifest["source"] = manifest["path"].str.rsplit(".", n=1).str[0].to_numpy()[first][groups.source]
        manifest[store.COLUMNS].to_csv(folder / "manifest.csv", index=False, lineterminator="\n")

        counts: dict[str, dict[str, int]] = {}
        summary = {
            "images": len(manifest),
            "skipped": len(bad),
            "photos": int(groups.source.max()) + 1,
            "same_name_pairs": groups.same_stem,
            "same_name_pairs_confirmed": groups.confirmed,
            "names_trusted": groups.stems_trusted,
            "near_duplicates": groups.near_duplicates,
            "test_images_with_twin_in_train": protocols.twins_across(
                groups.source, manifest["split"].to_numpy(), "train"
            ),
            "test_images_with_twin_in_val": protocols.twins_across(groups.source, manifest["split"].to_numpy(), "val"),
            "data_hash": sha256(folder / "manifest.csv"),
        }
        for name in (*store.SPLITS, store.UNUSED):
            chosen = manifest["split"] == name
            counts[name] = {"real": int((chosen & (labels == 0)).sum()), "fake": int((chosen & (labels == 1)).sum())}
        skipped = io.StringIO()
        csv.writer(skipped, lineterminator="\n").writerows(
            [("path", "reason"), *((printable(path), reason) for path, reason in bad)]
        )
    write_text("reports/split/skipped.csv", skipped.getvalue())
    write_json("reports/split/summary.json", summary | counts)
    for note in notes:
        print(f"note: {note}")
    print(", ".join(f"{name} {sum(counts[name].values())}" for name in store.SPLITS), end="; ")
    print(f"{summary['test_images_with_twin_in_train']} test images have their twin in train; {len(bad)} skipped")
