"""Fine-tune a pretrained network with a new 2-class head: all of it, or its normalisation layers and the head.

Reads   data/split and params.yaml (base, train_finetune); the pretrained weights (train_finetune.weights)
Writes  models/finetune (model.safetensors, card.json), reports/train/finetune (history.csv, metrics.json); one MLflow run
Takes   about 35 s on the sample (EfficientNet-Lite0, two cores)
"""

from fakeface.core.cores import bind
from fakeface.core.load import load_params
from fakeface.core.run import importing, run


def train_finetune() -> None:
    params = load_params()  # first: a wrong value is answered before the heavy imports
    bind(params.base)
    with importing():
        from fakeface.detector.batches import pixel_batches
        from fakeface.detector.device import Compute
        from fakeface.detector.predictor import Views
        from fakeface.detector.weights import build_pretrained, tune
        from fakeface.images.store import Dataset
        from fakeface.tracking import live
        from fakeface.training.approach import Task, train_approach

    p = params.train_finetune

    def prepare(dataset: Dataset, compute: Compute) -> Task:
        train, val = pixel_batches(dataset, p, p.batch_size, params.base.seed, compute, balance=p.balance)
        views = Views(p.crop_size, p.score_crops, p.with_mirrored)
        return Task(tune(build_pretrained(p.network, p.weights), p.network, p.tune), train, val, p, views=views)

    sections = ("train_finetune",)
    with live.TrainingRun("finetune", params, sections) as tracker:
        train_approach("finetune", params, prepare, sections, tracker)


if __name__ == "__main__":
    run(train_finetune, __doc__)
