"""Scan the data folder, group images by source photo, split the groups, write the manifest and the pixel store.

Reads   the data folder (split.data with its folders split.real and split.fake) and params.yaml (base, split)
Writes  data/split/manifest.csv, data/split/pixels.npy, reports/split/summary.json, reports/split/skipped.csv
Takes   about 4 s for the sample's 600 images, 8 s for 3998 images of 128 pixels (two cores)
"""

from fakeface.core.load import load_params
from fakeface.core.run import run


def split() -> None:
    params = load_params()  # first: a wrong value is answered before the heavy imports

    from fakeface.split import stage

    stage.split(params)


if __name__ == "__main__":
    run(split, __doc__)
