"""Show what other seeds (evaluate.seeds) and a leaky split (evaluate.leak) change, beside the pipeline's own trainings.

Reads   reports/evaluate/ (metrics.json, predictions.csv, variants/), data/split and params.yaml (base, evaluate)
Writes  reports/seeds/seeds.json, reports/leak/leak.json; the report shows both as tables
Takes   about 2 s
"""

from fakeface.core.run import run_stage

if __name__ == "__main__":
    run_stage("fakeface.variants.summary:summarise_variants", __doc__)
