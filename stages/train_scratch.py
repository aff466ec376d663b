"""Train a network from random weights: mynet, the article's five convolutions, or vgg11.

Reads   data/split and params.yaml (base, train_scratch)
Writes  models/scratch (model.safetensors, card.json), reports/train/scratch (history.csv, metrics.json); one MLflow run
Takes   about 60 s on the sample (two cores)
"""

from fakeface.core.cores import bind
from fakeface.core.load import load_params
from fakeface.core.run import importing, run


def train_scratch() -> None:
    params = load_params()  # first: a wrong value is answered before the heavy imports
    bind(params.base)
    with importing():
        from fakeface.detector.batches import pixel_batches
        from fakeface.detector.device import Compute
        from fakeface.detector.networks import build, he_init
        from fakeface.images.store import Dataset
        from fakeface.tracking import live
        from fakeface.training.approach import Task, train_approach

    p = params.train_scratch

    def prepare(dataset: Dataset, compute: Compute) -> Task:
        model = build(p.network, p.crop_size)
        if p.init == "he":
            he_init(model)
        train, val = pixel_batches(dataset, p, p.batch_size, params.base.seed, compute, balance=p.balance)
        return Task(model, train, val, p)

    sections = ("train_scratch",)
    with live.TrainingRun("scratch", params, sections) as tracker:
        train_approach("scratch", params, prepare, sections, tracker)


if __name__ == "__main__":
    run(train_scratch, __doc__)
