"""Scan the data folder, group images by source photo, split the groups, write the manifest and the pixel store.

Reads   the data folder (split.data with its folders split.real and split.fake) and params.yaml (base, split)
Writes  manifest.csv, pixels.npy and facts.json in data/split; summary.json and skipped.csv in reports/split
Takes   about 4 s for the sample's 600 images, 8 s for 3998 images of 128 pixels (two cores)
"""

from fakeface.core.run import run_stage

if __name__ == "__main__":
    run_stage("fakeface.split.stage:split", __doc__)
