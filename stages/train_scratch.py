"""Train a network from random weights: mynet, the article's five convolutions, or vgg11.

Reads   data/split and params.yaml (base, train_scratch)
Writes  models/scratch (model.safetensors, card.json), reports/scratch (history.csv, metrics.json); one MLflow run
Takes   about 60 s on the sample (two cores)
"""

from fakeface.errors import run
from fakeface.params import load_params


def train_scratch() -> None:
    params = load_params()  # before the heavy imports: a wrong value is answered at once

    from fakeface.training.distributed import launch

    if launch(params.base.processes, "stages.train_scratch"):
        return

    from fakeface.approach import pixel_batches, train_approach
    from fakeface.data.store import Dataset
    from fakeface.training.device import configure
    from fakeface.training.networks import build, he_init

    p = params.train_scratch
    compute = configure(params.base.seed, params.base.threads, params.base.device, params.base.precision)
    dataset = Dataset.open()
    model = build(p.network, p.crop_size)
    if p.init == "he":
        he_init(model)
    train, val = pixel_batches(dataset, p.network, p.crop_size, p.augment, p.batch_size, params.base.seed, compute)
    train_approach(
        "scratch",
        model,
        train,
        val,
        dataset,
        params,
        compute,
        network=p.network,
        crop_size=p.crop_size,
        weights="none",
        sections=("train_scratch",),
    )


if __name__ == "__main__":
    run(train_scratch, __doc__)
