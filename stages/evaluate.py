"""Score val and test once with all approaches: metrics, predictions, figures.

Reads   data/split, models/, reports/train/*/history.csv and params.yaml (base, evaluate)
Writes  reports/evaluate/: metrics.json, figures.csv, pairs.csv, table.md, predictions.csv, curves.csv, roc.csv, figures/*.png;
        the test figures of the trainings' MLflow runs
Takes   about 30 s on the sample (240 images, three approaches, two cores)
"""

from fakeface.core.run import run_stage

if __name__ == "__main__":
    run_stage("fakeface.scoring.evaluate:evaluate", __doc__, "fakeface.tracking.live:scoring", bound=True)
