"""The command `fakeface`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from fakeface.cli.project import new
from fakeface.cli.upgrade import upgrade
from fakeface.core.errors import NO_PROJECT, UserError, one_line, printable, require_packages
from fakeface.core.run import run_app
from fakeface.predict.command import Model, predict

LARGEST_LR = 1.0

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Helpers around the pipeline; the pipeline itself is `dvc repro`.",
)


def _once(names: list[str] | None) -> list[str] | None:
    """Else the last one would be taken in silence."""
    if names and len(names) > 1:
        raise typer.BadParameter(
            f"names one folder, not {len(names)}: put them as sub-folders into one folder and name that; in a list, give "
            "them one label"
        )
    return names


@app.command()
def recipe(
    name: Annotated[str, typer.Argument(help="Name of a file in recipes/ without .yaml, such as default or article.")],
    data: Annotated[Path | None, typer.Option(help="Folder with your faces; written to split.data.")] = None,
) -> None:
    """Write a recipe's values into params.yaml; comments and layout stay. Run it from the project's root."""
    from fakeface.cli.recipes import apply_recipe

    apply_recipe(name, data)
    print(f"params.yaml now holds the recipe {name}; next: fakeface check, then dvc repro")


@app.command()
def use(
    place: Annotated[
        Path, typer.Argument(help="The folder that holds both classes, or a CSV, TSV, JSON or JSONL list.")
    ],
    real: Annotated[
        list[str] | None,
        typer.Option(callback=_once, metavar="NAME", help="The real class: its folder, or its label in a list."),
    ] = None,
    fake: Annotated[
        list[str] | None,
        typer.Option(callback=_once, metavar="NAME", help="The fake class: its folder, or its label in a list."),
    ] = None,
    swapped: Annotated[
        bool, typer.Option("--swapped", help="Accept a class whose name suggests the other class.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report only; change nothing.")] = False,
) -> None:
    """Look at a folder or list of faces, and write what fits into params.yaml. Run it from the project's root."""
    from fakeface.cli.use import use

    use(place, *(names[0] if names else None for names in (real, fake)), swapped=swapped, dry_run=dry_run)


@app.command()
def normalise(
    source: Annotated[
        Path, typer.Argument(help="A folder of images: the one with both class folders, split.data in params.yaml.")
    ],
    target: Annotated[
        Path,
        typer.Argument(help="Folder to create; sub-folders keep their names, so split.real and split.fake stay valid."),
    ],
    size: Annotated[int, typer.Option(min=16, max=4096, help="Side of the square output images, in pixels.")] = 256,
    quality: Annotated[int | None, typer.Option(min=1, max=95, help="JPEG quality; the default is 90.")] = None,
    png: Annotated[bool, typer.Option("--png", help="Write PNG (lossless) instead of JPEG.")] = False,
) -> None:
    """Write all images of a folder in one format, size and quality, so that files do not reveal their class.

    Of params.yaml only split.max_megapixels is read; next: fakeface use with the new folder.
    """
    from fakeface.cli.normalise import normalise
    from fakeface.core.load import load_params

    if png and quality is not None:
        raise typer.BadParameter("PNG has no quality: give --quality or --png", param_hint="--quality")
    limit = load_params().split.max_megapixels if Path("params.yaml").is_file() else 50
    raise typer.Exit(int(normalise(source, target, size, None if png else quality or 90, limit) > 0))


@app.command()
def check() -> None:
    """Check params.yaml and the data folder before a run; an error is reported in one line, in a second."""
    import numpy as np

    from fakeface.aligned.places import find_sources
    from fakeface.core.code import check_code
    from fakeface.core.load import check_machine, load_params
    from fakeface.images.decode import find_images
    from fakeface.images.listing import left_out
    from fakeface.split.extra import find_extra
    from fakeface.split.grouping import check_names, group_names
    from fakeface.split.protocols import class_sizes, keep_given

    check_code()
    params = load_params()
    check_machine(params)
    split = params.split
    source = params.aligned_source()
    if Path(source or split.data) == Path("data/sample"):
        if params.sample.count == 0:
            raise UserError("params.yaml: split.data is the embedded sample, but sample.count is 0; set it to 300")
        available, there = [params.sample.count] * 2, "that the first run will draw into data/sample"
    elif source is not None:
        available, there = list(map(len, find_sources(Path(source), split.real, split.fake))), f"in {source}"
    else:
        found = find_images(split.data, split.real, split.fake)
        labels, stems = [image.label for image in found], [image.stem for image in found]
        check_names(group_names(stems, split.group_by), split.group_by)
        if split.protocol == "folders":
            keep_given(stems, np.array(labels), np.arange(len(found)), split.val, params.base.seed)
        available, there = [labels.count(0), labels.count(1)], f"in {split.data}"
        if unused := left_out(split.data, split.real, split.fake):
            print("note: not used: " + printable(", ".join(f"{n} {kind}" for kind, n in unused.items())))
    if source is not None:  # a round trip of each real photo
        available, there = [available[0], sum(available)], f"in {split.data}, which is made of those {there}"
    for name, folder in params.evaluate.extra_sets.items():
        find_extra(name, folder, split.real, split.fake)
    folders = [f"{split.data}/{split.real}", f"{split.data}/{split.fake}"]
    class_sizes(split.protocol, split.train, split.val, split.test, available, folders)
    for name, section in params:
        if getattr(section, "lr", 0) > LARGEST_LR:
            print(f"note: {name}.lr = {section.lr:g} is too high to train with; typical values are 0.001 to 0.1")
        if getattr(section, "weights", "none") in ("imagenet", "openai") and section.network != "efficientnet_lite0":
            from fakeface.detector.weights import here  # which takes seconds to import

            if not here(section.network, section.weights):
                print(f"note: {name}: the weights of {section.network} are not on this machine and will be downloaded")
    if params.base.threads > (cores := os.cpu_count() or 1):
        print(f"note: base.threads = {params.base.threads}, but there are {cores} cores; more threads are much slower")
    print(f"params.yaml is valid; data: {available[0]} real and {available[1]} fake images {there}")


@app.command()
def doctor() -> None:
    """Check whether this machine and this project are ready, and say what to do if not. Changes nothing."""
    from fakeface.cli.doctor import examine

    ready = True
    for finding in examine():
        ready &= not finding.remedy
        todo = f"; {finding.remedy}" if finding.remedy else ""
        print(printable(f"{'to do' if todo else 'ok':5}  {finding.name:22} {finding.state}{todo}"), flush=True)
    raise typer.Exit(0 if ready else 1)


@app.command()
def diff(revision: Annotated[str, typer.Argument(help="A git revision, such as main or HEAD~1.")]) -> None:
    """Compare parameters, data and test figures with those of a git revision, in Markdown for a pull request."""
    from fakeface.cli.diff import markdown

    print(markdown(revision), end="")


@app.command()
def experiments() -> None:
    """Table of DVC's experiments since the last commit: accuracies, and the parameters in which they differ."""
    import dvc.api
    from dvc.exceptions import DvcException

    from fakeface.tracking.table import table

    if not Path("dvc.yaml").is_file():
        raise UserError(f"dvc.yaml: no such file; {NO_PROJECT}")
    try:
        rows = dvc.api.exp_show()
    except DvcException as error:
        raise UserError(f"dvc exp show: {one_line(error)}") from None
    print(table(rows).to_string(index=False))


@app.command()
def publish(
    all_commits: Annotated[
        bool, typer.Option("--all-commits", help="Include past commits on branches and tags.")
    ] = False,
    exp: Annotated[bool, typer.Option("--exp", help="Include DVC's experiments.")] = False,
) -> None:
    """Show DVC's results in MLflow: one run per training in dvc.lock. A second call changes nothing."""
    from fakeface.core.load import load_params
    from fakeface.tracking import locks

    params = load_params()
    states = [locks.workspace()]
    states += locks.past_commits() if all_commits else []
    states += locks.experiments() if exp else []
    if not params.base.tracking:
        print("base.tracking is false in params.yaml: nothing published")
        return
    from fakeface.tracking.publish import publish_states

    result = publish_states(states, params.registry.margin)
    for line in result.missing:
        print(f"note: no run for {line}")
    if result.without_model:
        first, reason = next(iter(result.without_model.items()))
        print(
            f"note: {len(result.without_model)} runs are without their model ({first}: {reason}); run `dvc pull`, then "
            "publish again"
        )
    print(f"MLflow: {result.made} runs made, {result.linked} linked to dvc.lock, {result.there} there already")
    print(f"Model fakeface: {result.registry}")
    print(f"Compare: `mlflow ui`, then {result.page}")


@app.command()
def promote(version: Annotated[int, typer.Argument(help="A version of the registered model fakeface.")]) -> None:
    """Make a version of the registered model the champion, regardless of its scores."""
    from fakeface.tracking import registry

    registry.promote(str(version))
    print(f"models:/fakeface@champion is now version {version}; commit {registry.KEPT}")


@app.command()
def export(
    model: Model = None,
    output: Annotated[Path | None, typer.Option(help="Output file; the default is <approach>.onnx.")] = None,
) -> None:
    """Write a detector as one ONNX file that runs without this project: pixels in, calibrated score out."""
    if output is not None and output.suffix != ".onnx":
        raise UserError(f"{output}: --output takes a file name that ends in .onnx")
    from fakeface.predict.detector import open_detector
    from fakeface.predict.export import export_onnx
    from fakeface.predict.facts import warning_of

    require_packages("export", "onnx", "onnxscript", "onnxruntime")
    predictor = open_detector(model)
    path = output or Path(f"{predictor.card['approach']}.onnx")
    difference = export_onnx(predictor, path)
    if warning := warning_of(predictor.card):
        print(f"note: {warning}", file=sys.stderr)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, checked; scores within {difference:.1g} of PyTorch's in fp32")


@app.command()
def web(
    model: Model = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 chooses a free one.")] = 7860,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
) -> None:
    """Open a local web page that gives verdicts on photos; other machines cannot reach it."""
    from fakeface.predict.web.serve import serve

    serve(model, port, browser)


app.command()(predict)
app.command()(new)
app.command()(upgrade)


@app.command()
def card(
    approach: Annotated[
        str | None, typer.Argument(help="A folder in models/; default: the best on the validation set.")
    ] = None,
) -> None:
    """Write a model card in Markdown: what a detector is for, what it was trained on, and how often it errs."""
    from fakeface.core.load import load_params
    from fakeface.report.model_card import card_of

    print(card_of(approach, load_params().split.data), end="")


def main() -> None:
    """Entry point of the console script."""
    run_app(app)
