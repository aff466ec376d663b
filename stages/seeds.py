"""Train every approach evaluate.seeds times, each time with the next seed on the same split, and show the spread.

Reads   reports/evaluate/metrics.json (the pipeline's own models are the first training), data/split and params.yaml
Writes  reports/seeds/: seeds.json, table.md
Takes   a second with evaluate.seeds: 1, which trains nothing; each further seed as long as the features and three trainings
"""

from fakeface.errors import UserError, run
from fakeface.params import APPROACHES, load_params

# in folders of their own, beside the pipeline
RUNS = ("features", *(f"train_{name}" for name in APPROACHES))


def seeds() -> None:
    params = load_params()  # before the heavy imports: a wrong value is answered at once

    import json
    from contextlib import ExitStack
    from pathlib import Path

    from fakeface.evaluation.seeds import markdown, summary
    from fakeface.files import write_text

    base, p = params.base, params.evaluate
    try:
        own = json.loads(Path("reports/evaluate/metrics.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("reports/evaluate/metrics.json: no such file; run `dvc repro evaluate`") from None
    accuracies = {name: [own[name]["accuracy"]] for name in APPROACHES}
    photos = {
        name: (own[name]["accuracy_low"], own[name]["accuracy_high"]) if "accuracy_low" in own[name] else None
        for name in APPROACHES
    }
    with ExitStack() as repetitions:  # closed, and their folders deleted, when everything is written
        if p.seeds > 1:
            from fakeface.again import score_test_images, trained_again
            from fakeface.data.store import Dataset
            from fakeface.evaluation.metrics import evaluate
            from fakeface.evaluation.predictor import Predictor
            from fakeface.training.device import configure

            compute = configure(base.seed, base.threads, base.device, base.precision)
            dataset = Dataset.open()
            for seed in range(base.seed + 1, base.seed + p.seeds):
                again = trained_again("base", "seed", seed, params, APPROACHES, RUNS, dataset, compute)
                folder = repetitions.enter_context(again)
                for name in APPROACHES:
                    predictor = Predictor.load(folder / "models" / name, compute, p.batch_size)
                    table = score_test_images(predictor, dataset)
                    figures = evaluate(table["label"].to_numpy(), table["score"].to_numpy(), threshold=0.5)
                    accuracies[name].append(figures["accuracy"])
        text = markdown(accuracies, base.seed, photos)
        write_text("reports/seeds/seeds.json", json.dumps(summary(accuracies), indent=2) + "\n")
        write_text("reports/seeds/table.md", text)
    print(text)


if __name__ == "__main__":
    run(seeds, __doc__)
