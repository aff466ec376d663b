"""One page with everything that was found: which approach, how good, how sure, at what cost, and what it does not say.

Reads   the reports of all other stages, models/*/card.json, data/split (pictures of errors) and params.yaml;
        reports/cost/<approach>.json where it is about this very model
Writes  reports/index.html: one file, nothing fetched
Takes   about 3 s
"""

from fakeface.core.run import run_stage

if __name__ == "__main__":
    run_stage("fakeface.report.stage:report", __doc__)
