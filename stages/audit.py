"""Audit the data before any training: facts about the files, copies and twins, shortcut probes, mean spectra and residuals.

Reads   data/split, the data folder (split.data) and params.yaml (base.seed, split, audit)
Writes  reports/audit/index.html (read this one), audit.json, files.csv, pairs.csv; all of them also when it fails
Takes   about 13 s for the sample's 600 images of 256 pixels, 26 s for 3998 images of 128 (two cores, one of them busy)
"""

from fakeface.errors import UserError, run
from fakeface.params import load_params


def audit() -> None:
    params = load_params()  # before the heavy imports: a wrong value is answered at once

    import json
    from collections.abc import Callable
    from functools import partial
    from typing import Any

    import numpy as np
    import pandas as pd
    from tqdm import tqdm

    from fakeface.data import audit, spectra, store
    from fakeface.evaluation import audit_page, probes
    from fakeface.files import write_text

    p, split, seed = params.audit, params.split, params.base.seed
    dataset = store.Dataset.open()
    manifest, labels = dataset.manifest, dataset.labels
    source = manifest["source"].to_numpy()
    read = audit.read_facts(split.data, manifest, split.max_megapixels)
    facts = pd.DataFrame(tqdm(read, total=len(manifest), desc="files", unit="image", disable=None), columns=audit.FACTS)
    pictures = spectra.look(dataset.pixels, labels)
    copies = audit.find_copies(manifest, pictures.hashes, split.hash_distance, (split.real, split.fake))

    fold = probes.folds_by_source(labels, source, p.folds, seed)
    forest = partial(probes.forest, seed)
    inputs: dict[str, tuple[Callable[[], Any], np.ndarray]] = {
        "metadata": (forest, probes.metadata_features(facts)),
        "file_size": (forest, facts[["bytes"]].to_numpy(dtype=np.float64)),
        "mean_colour": (probes.linear, pictures.colour),
        "thumbnail": (probes.linear, pictures.thumbnail),
        "spectrum": (probes.linear, pictures.radial),
    }
    found = {name: probes.probe(make, x, labels, source, fold, seed) for name, (make, x) in inputs.items()}
    limits = dict.fromkeys(inputs, p.max_picture) | {"metadata": p.max_metadata, "file_size": p.max_file_size}
    verdict = audit_page.judge(found, limits, copies.counts, facts, p.on_shortcut)

    html = audit_page.page(
        split.data, dataset.pixels, facts, copies, pictures.hashes, pictures, found, limits, verdict,
        folds=p.folds, distance=split.hash_distance, pairs_shown=p.pairs_shown,
    )  # fmt: skip
    write_text("reports/audit/files.csv", facts.to_csv(index=False, lineterminator="\n"))
    pairs = audit.pair_table(manifest, copies, pictures.hashes)
    write_text("reports/audit/pairs.csv", pairs.to_csv(index=False, lineterminator="\n"))
    write_text("reports/audit/audit.json", json.dumps(audit_page.summary(verdict, found, copies), indent=2) + "\n")
    write_text("reports/audit/index.html", html)
    for name, probe in found.items():
        print(f"{name:12} {audit_page.in_words(probe)}")
    for finding in verdict.findings:
        if finding.status == "fail":  # the first one; the page holds them all, and stays for the user to read
            remedy = finding.remedy.rstrip(".")
            raise UserError(
                f"{split.data}: {finding.text}. {remedy[0].upper()}{remedy[1:]}, or set audit.on_shortcut: warn in "
                "params.yaml; all of it in reports/audit/index.html"
            )
        print(f"warning: {finding.text}")
    print(f"{verdict.status}: reports/audit/index.html")


if __name__ == "__main__":
    run(audit, __doc__)
