"""A page of the audit for the tests of pages, and what reads any page."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd

from fakeface.audit.facts import Copies
from fakeface.audit.page import audit_page
from fakeface.audit.probes import Probe
from fakeface.audit.spectra import look
from fakeface.audit.verdict import TITLES, Measured, reach_verdict

EVIL = '0_real/<script>alert(1)</script>" onerror="x.jpg'
N = 12
LABELS = np.repeat([0, 1], N // 2)
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 3, 32, 32), dtype=np.uint8)
PICTURES = look(PIXELS, LABELS, np.arange(N))
CHANCE, SURE = Probe(0.5, 0.45, 0.55), Probe(0.98, 0.95, 1.0)
LIMITS = dict.fromkeys(TITLES, 0.75) | {"metadata": 0.65, "file_size": 0.65}
COUNTS = {"exact_duplicates": 1, "exact_duplicates_across_classes": 0, "near_duplicates": 1, "photos": 6,
          "photos_in_both_classes": 6, "photos_in_several_splits": 0, "test_images_with_twin_in_train": 0,
          "test_images_with_twin_in_val": 0}  # fmt: skip
FACTS = pd.DataFrame(
    {"path": [EVIL] + [f"1_fake/{k}.jpg" for k in range(1, N)], "label": LABELS, "split": "train", "source": EVIL,
     "bytes": 1000, "format": ["JPEG"] * 6 + ["PNG"] * 6, "mode": "RGB", "width": 32, "height": 32, "quantization": "",
     "quality": 0, "subsampling": "", "traces": ""}
)  # fmt: skip


def probes(**changed):
    return dict.fromkeys(TITLES, CHANCE) | changed


def measured(found, pictures=PICTURES, apart=None, **counts):
    pair, none = np.array([[0, 1]]), np.empty((0, 2), dtype=np.int64)
    return Measured(FACTS, Copies(pair, pair, none, none, COUNTS | counts), pictures, found, LIMITS, apart or {})


def audit(found, on_shortcut="fail", **counts):
    return reach_verdict(measured(found, **counts), on_shortcut)


def html(found, pictures=PICTURES):
    return audit_page(
        "data/<b>raw",
        PIXELS,
        measured(found, pictures),
        audit(found),
        {"avif files": 8},
        folds=5,
        distance=4,
        group_by="photo",
    )


class Reader(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.sources, self.alts = [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.seen.add(tag)
        assert not any(name.startswith("on") for name in values), values
        self.sources += [values[name] for name in ("src", "href") if name in values]
        if tag == "img":
            self.alts.append(values.get("alt"))
        if tag not in ("meta", "img", "br", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag != "rect":
            assert self.open.pop() == tag
