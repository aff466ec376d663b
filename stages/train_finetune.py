"""Fine-tune a whole pretrained network with a new 2-class head.

Reads   data/split and params.yaml (base, train_finetune); pretrained weights as train_finetune.weights says
Writes  models/finetune (model.safetensors, card.json), reports/finetune (history.csv, metrics.json); one MLflow run
Takes   about 35 s on the sample (EfficientNet-Lite0, two cores)
"""

from fakeface.errors import run
from fakeface.params import load_params


def train_finetune() -> None:
    params = load_params()  # before the heavy imports: a wrong value is answered at once

    from fakeface.training.distributed import launch

    if launch(params.base.processes, "stages.train_finetune"):
        return

    from fakeface.approach import pixel_batches, train_approach
    from fakeface.data.store import Dataset
    from fakeface.training.device import configure
    from fakeface.training.networks import build_pretrained

    p = params.train_finetune
    compute = configure(params.base.seed, params.base.threads, params.base.device, params.base.precision)
    dataset = Dataset.open()
    train, val = pixel_batches(dataset, p.network, p.crop_size, p.augment, p.batch_size, params.base.seed, compute)
    train_approach(
        "finetune",
        build_pretrained(p.network, p.weights),
        train,
        val,
        dataset,
        params,
        compute,
        network=p.network,
        crop_size=p.crop_size,
        weights=p.weights,
        sections=("train_finetune",),
        with_mirrored=p.with_mirrored,
    )


if __name__ == "__main__":
    run(train_finetune, __doc__)
