"""Show what other seeds (evaluate.seeds) and a leaky split (evaluate.leak) change, beside the pipeline's own trainings.

Reads   reports/variants/, reports/evaluate/ (metrics.json, predictions.csv), data/split and params.yaml (base, evaluate)
Writes  reports/seeds/ and reports/leak/: seeds.json, leak.json, table.md each
Takes   about 2 s
"""

from fakeface.core.load import load_params
from fakeface.core.run import run


def variants() -> None:
    params = load_params()  # first: a wrong value is answered before the heavy imports

    from fakeface.variants.summary import summarise_variants

    summarise_variants(params)


if __name__ == "__main__":
    run(variants, __doc__)
