"""Train the approaches of evaluate.leak again under split.group_by: none, to see what a random split's leak is worth.

Reads   models/, data/split, the data folder (split.data) and params.yaml
Writes  reports/leak/: leak.json, table.md
Takes   a second with evaluate.leak: [], which trains nothing; otherwise as long as the split and the trainings
"""

from fakeface.errors import run
from fakeface.params import APPROACHES, load_params

# in a folder of their own, beside the pipeline
RUNS = ("split", "features", *(f"train_{name}" for name in APPROACHES))


def leak() -> None:
    params = load_params()  # before the heavy imports: a wrong value is answered at once

    import json
    from contextlib import ExitStack

    from fakeface.files import write_text

    base, p = params.base, params.evaluate
    found = {}
    text = "evaluate.leak names no approach: nothing was trained under split.group_by: none.\n"
    with ExitStack() as repetition:  # closed, and its folder deleted, when everything is written
        if p.leak:
            from fakeface.again import score_test_images, trained_again
            from fakeface.data.store import Dataset
            from fakeface.evaluation.leak import compare, markdown
            from fakeface.evaluation.predictor import Predictor, load_all
            from fakeface.training.device import configure

            compute = configure(base.seed, base.threads, base.device, base.precision)
            dataset = Dataset.open()
            predictors = load_all(p.leak, dataset.data_hash, compute, p.batch_size)
            again = trained_again("split", "group_by", "none", params, p.leak, RUNS, dataset, compute)
            folder = repetition.enter_context(again)
            other = Dataset.open(folder / "data" / "split")
            for name in p.leak:
                grouped = score_test_images(predictors[name], dataset)
                trained = Predictor.load(folder / "models" / name, compute, p.batch_size)
                ungrouped = score_test_images(trained, other)
                found[name] = compare(grouped, ungrouped, resamples=p.resamples, seed=base.seed)
            text = markdown(found)
        write_text("reports/leak/leak.json", json.dumps(found, indent=2) + "\n")
        write_text("reports/leak/table.md", text)
    print(text)


if __name__ == "__main__":
    run(leak, __doc__)
