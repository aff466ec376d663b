"""Train a new 2-class head on a frozen pretrained backbone (feature extraction).

Reads   data/split, data/features and params.yaml (base, features, train_extractor)
Writes  models/extractor (model.safetensors, card.json), reports/extractor (history.csv, metrics.json); one MLflow run
Takes   a few seconds on cached features; with train_extractor.batchnorm: moving the whole network runs in every epoch
"""

from fakeface.errors import run
from fakeface.params import load_params


def train_extractor() -> None:
    params = load_params()  # before the heavy imports: a wrong value is answered at once

    from fakeface.training.distributed import launch

    if launch(params.base.processes, "stages.train_extractor"):
        return

    import torch
    from torch import nn

    from fakeface.approach import pixel_batches, train_approach
    from fakeface.data.store import Dataset
    from fakeface.training.batches import Batches, FeatureBatches
    from fakeface.training.device import configure
    from fakeface.training.networks import Head, backbone, replace_head

    p, f, seed = params.train_extractor, params.features, params.base.seed
    compute = configure(seed, params.base.threads, params.base.device, params.base.precision)
    dataset = Dataset.open()
    model = backbone(f.network, f.weights)
    stored = dataset.features()
    torch.manual_seed(seed)
    head = Head(stored["train"].shape[-1], 2)
    train: Batches
    val: Batches

    def with_head(trained: nn.Module) -> nn.Module:
        replace_head(model, f.network, trained)
        return model

    if p.batchnorm == "frozen":
        train, val = (
            FeatureBatches(
                stored[name],
                dataset.labels[dataset.rows(name)],
                batch_size=p.batch_size,
                device=compute.device,
                seed=seed,
            )
            for name in ("train", "val")
        )
        trained: nn.Module = head
    else:
        # The article's way: no gradient, but train mode, so BatchNorm uses and moves batch statistics.
        train, val = pixel_batches(dataset, f.network, f.crop_size, f.augment, p.batch_size, seed, compute)
        trained = with_head(head)
    train_approach(
        "extractor",
        trained,
        train,
        val,
        dataset,
        params,
        compute,
        network=f.network,
        crop_size=f.crop_size,
        weights=f.weights,
        sections=("features", "train_extractor"),
        inputs=("data/features/train.npy", "data/features/val.npy"),
        assemble=with_head if p.batchnorm == "frozen" else lambda whole: whole,
    )


if __name__ == "__main__":
    run(train_extractor, __doc__)
