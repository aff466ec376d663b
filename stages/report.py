"""One page with all results: the best approach, its accuracy, how certain that is, the cost, and the limits.

Reads   the reports of all other stages, models/*/card.json, data/split (pictures of errors) and params.yaml;
        reports/cost/<approach>.json if it is about exactly this model
Writes  reports/index.html: one file that loads nothing else
Takes   about 3 s
"""

from fakeface.core.run import run_stage

if __name__ == "__main__":
    run_stage("fakeface.report.stage:report", __doc__)
