"""Score perturbed test images with all approaches: JPEG, blur, resizing, noise, to both classes alike.

Reads   data/split, models/ and params.yaml (base, robustness)
Writes  reports/robustness/metrics.json, table.csv, table.md and figures/*.png;
        robustness/mean and /worst of the trainings' MLflow runs
Takes   about 30 s on the sample (64 images, 17 perturbations, three approaches, two cores)

Fails if robustness.budget is exceeded; the results are written before that.
"""

from fakeface.core.run import run_stage

if __name__ == "__main__":
    run_stage("fakeface.robustness.stage:robustness", __doc__, "fakeface.tracking.live:scoring", bound=True)
