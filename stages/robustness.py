"""Score perturbed test images with all approaches: JPEG, blur, resizing, noise, to both classes alike.

Reads   data/split, models/ and params.yaml (base, robustness)
Writes  reports/robustness/metrics.json, table.csv, table.md and figures/*.png;
        robustness/mean and /worst of the trainings' MLflow runs
Takes   about 30 s on the sample (64 images, 17 perturbations, three approaches, two cores)

Fails when robustness.budget is broken; what it wrote stays there to be read.
"""

from fakeface.core.load import load_params
from fakeface.core.run import run


def robustness() -> None:
    params = load_params()  # first: a wrong value is answered before the heavy imports

    from fakeface.robustness import stage
    from fakeface.tracking import live

    with live.scoring("robustness", params):
        stage.robustness(params)


if __name__ == "__main__":
    run(robustness, __doc__)
