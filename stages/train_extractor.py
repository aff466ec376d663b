"""Train a new 2-class head on a frozen pretrained backbone (feature extraction).

Reads   data/split, data/features and params.yaml (base, features, train_extractor)
Writes  models/extractor (model.safetensors, card.json), reports/train/extractor (history.csv, metrics.json); one MLflow run
Takes   a few seconds on cached features; with train_extractor.batchnorm: moving the whole network runs in every epoch
"""

from fakeface.core.cores import bind
from fakeface.core.load import load_params
from fakeface.core.run import importing, run


def train_extractor() -> None:
    params = load_params()  # first: a wrong value is answered before the heavy imports
    bind(params.base)
    with importing():
        import torch
        from torch import nn

        from fakeface.detector.batches import FeatureBatches, pixel_batches
        from fakeface.detector.device import Compute
        from fakeface.detector.networks import NETWORKS, Head, replace_head
        from fakeface.detector.weights import backbone
        from fakeface.images.store import Dataset
        from fakeface.tracking import live
        from fakeface.training.approach import Task, train_approach
        from fakeface.training.standardise import for_raw_features, standardise

    p, f, seed = params.train_extractor, params.features, params.base.seed

    def prepare(dataset: Dataset, compute: Compute) -> Task:
        model = backbone(f.network, f.weights)
        stored = dataset.features()
        torch.manual_seed(seed)
        head = Head(stored["train"][0].shape[1], 2)
        inputs = ("data/features/train.npy", "data/features/val.npy")

        def with_head(trained: nn.Module) -> nn.Module:
            replace_head(model, f.network, trained)
            return model

        if p.batchnorm == "moving":
            # The article's way: no gradient, but train mode, so BatchNorm uses and moves batch statistics.
            train, val = pixel_batches(dataset, f, p.batch_size, seed, compute, balance=p.balance)
            return Task(with_head(head), train, val, f, inputs=inputs)
        assemble = with_head
        if NETWORKS[f.network].uneven:
            mean, deviation = standardise(stored)

            def assemble(trained: nn.Module) -> nn.Module:
                return with_head(for_raw_features(trained, mean, deviation))

        size, device, labels = p.batch_size, compute.device, dataset.groups(p.balance)
        train_features, val_features = (
            FeatureBatches(stored[k], labels[dataset.rows(k)], batch_size=size, device=device, seed=seed)
            for k in ("train", "val")
        )
        return Task(head, train_features, val_features, f, assemble, inputs)

    sections = ("features", "train_extractor")
    with live.TrainingRun("extractor", params, sections) as tracker:
        train_approach("extractor", params, prepare, sections, tracker)


if __name__ == "__main__":
    run(train_extractor, __doc__)
