"""Train one approach once more with one change, and score the test images with it.

Changes: seed-<n>, leak, without-<generator>, without-all (each generator in turn).

Reads   data/split or the data folder (split.data), its own copy of data/features if the approach needs it, and params.yaml
Writes  reports/evaluate/variants/APPROACH/CHANGE/: predictions.csv, metrics.json
Takes   as long as the approach's training, plus the split and the features if they change
"""

from fakeface.core.load import load_params
from fakeface.core.run import run


def variant(approach: str, change: str) -> None:
    params = load_params()  # first: a wrong value is answered before the heavy imports
    # not bound to a core: the stages that it starts would all have that one

    from fakeface.variants.train import train_variant

    train_variant(params, approach, change)


if __name__ == "__main__":
    run(variant, __doc__)
