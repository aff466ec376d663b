"""The stage `audit`: reads the files once more, measures, judges, writes the page."""

import numpy as np
import pandas as pd
from tqdm import tqdm

from fakeface.audit import probes, spectra
from fakeface.audit.facts import FACTS, find_copies, pair_table, read_facts, stems_of
from fakeface.audit.page import audit_page
from fakeface.audit.ungrouped import ungrouped
from fakeface.audit.verdict import Measured, Verdict, audit_metrics, in_words, reach_verdict
from fakeface.core.errors import UserError, one_line, printable
from fakeface.core.files import read_json, write_csv, write_json, write_text
from fakeface.core.params import Audit, Params, Split
from fakeface.images.store import Dataset
from fakeface.split.pairs import first_equal


def audit(params: Params) -> None:
    split = params.split
    dataset = Dataset.open()
    unused = _unused("reports/split/summary.json")
    found, verdict = measure(dataset, params.base.seed, split, params.audit)
    html = audit_page(
        split.data,
        dataset.pixels,
        found,
        verdict,
        unused,
        folds=params.audit.folds,
        distance=split.hash_distance,
        group_by=split.group_by,
    )
    write_csv("reports/audit/files.csv", found.facts)
    write_csv("reports/audit/pairs.csv", pair_table(dataset.manifest, found.copies, found.pictures.hashes))
    write_json("reports/audit/audit.json", audit_metrics(verdict, found))
    write_text("reports/audit/index.html", html)
    for name, probe in found.probes.items():
        print(f"{name:12} {in_words(probe)}")
    if found.apart:
        print(f"the same of each generator by itself ({printable(', '.join(found.apart))}): reports/audit/audit.json")
    for finding in verdict.findings:
        if finding.status == "fail":  # the first one; the page holds them all, and stays for the user to read
            remedy = finding.remedy.rstrip(".")
            raise UserError(
                f"{split.data}: {finding.text}. {remedy[0].upper()}{remedy[1:]}, or set audit.on_shortcut: warn in "
                "params.yaml; all of it in reports/audit/index.html"
            )
        print(f"warning: {finding.text}; {finding.remedy.rstrip('.')}")
    print(f"{verdict.status}: reports/audit/index.html")


def measure(dataset: Dataset, seed: int, split: Split, p: Audit) -> tuple[Measured, Verdict]:
    """What the files of a split give away, and what to say about it.

    Raises:
        UserError: a file is not the one that the split read.
    """
    manifest, labels = dataset.manifest, dataset.labels
    source = manifest["source"].to_numpy()
    read = read_facts(split.data, manifest, split.max_megapixels)
    columns: dict[str, list[object]] = {
        name: [] for name in FACTS
    }  # of a million rows as dicts the memory would be full
    for row in tqdm(read, total=len(manifest), desc="files", unit="image", disable=None):
        for name, value in row.items():
            columns[name].append(value)
    facts = pd.DataFrame(columns)
    rows = probes.probed(labels, seed)
    pictures = spectra.look(dataset.pixels, labels, rows, dataset.whole)
    stems = stems_of(manifest, (split.real, split.fake))
    copies = find_copies(manifest, stems, pictures.hashes, split.hash_distance)

    classes, photos, few = labels[rows], source[rows], facts.iloc[rows]
    forest, linear = probes.forest(seed), probes.linear()
    inputs = {
        "metadata": (forest, probes.metadata_features(few)),
        "file_size": (forest, few[["bytes"]].to_numpy(dtype=np.float64)),
        "mean_colour": (linear, pictures.colour),
        "thumbnail": (linear, pictures.thumbnail),
        "spectrum": (linear, pictures.radial),
    }

    def probed(mine: np.ndarray) -> dict[str, probes.Probe]:
        """Each probe of these of the rows that are probed."""
        fold = probes.folds_by_source(classes[mine], photos[mine], p.folds, seed)
        return {
            name: probes.probe(one, x[mine], classes[mine], photos[mine], fold, seed)
            for name, (one, x) in inputs.items()
        }

    measured = probed(np.arange(len(rows)))
    # among the fakes of others those of one generator may be given away unseen
    apart = {name: probed(mine) for name, mine in probes.apart(dataset.generators[rows], classes)}
    limits = dict.fromkeys(inputs, p.max_picture) | {"metadata": p.max_metadata, "file_size": p.max_file_size}
    found = Measured(facts, copies, pictures, measured, limits, apart)
    loose = []
    if split.group_by == "photo":
        loose = ungrouped(stems, labels, manifest["split"].to_numpy(), first_equal(source), seed)
    return found, reach_verdict(found, p.on_shortcut, loose)


def _unused(path: str) -> dict[str, int]:
    """How many files are not used, by kind: what the split found, so that the folder need not be listed again."""
    try:
        return dict(read_json(path)["left_out"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path}: no whole summary there ({one_line(error)}); run `dvc repro -f split`") from None
