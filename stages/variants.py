"""Show what other seeds (evaluate.seeds), a leaky split (evaluate.leak) and one generator less (evaluate.leave_out) change.

Reads   reports/evaluate/ (metrics.json, predictions.csv, variants/), data/split and params.yaml (base, evaluate)
Writes  reports/seeds/seeds.json, reports/leak/leak.json, reports/leave_out/leave_out.json; the report shows them as tables;
        leave_out/ of the trainings' MLflow runs
Takes   about 2 s, some seconds more if generators are left out
"""

from fakeface.core.run import run_stage

if __name__ == "__main__":
    run_stage("fakeface.variants.summary:variants", __doc__, "fakeface.tracking.live:scoring")
