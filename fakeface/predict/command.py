"""`fakeface predict`: files in, a row of verdict for each out, as they come; memory does not grow with their number."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

import typer

from fakeface.core.errors import UserError, printable
from fakeface.core.files import whole
from fakeface.core.run import importing
from fakeface.predict.names import Entry, entries, picture_name, split_list
from fakeface.predict.tables import FACE_COLUMNS, FORMATS, rows_of

PROGRESS = 30  # seconds between two lines of progress where no terminal shows a bar
FLUSH = 64  # images after which standard output is flushed
FEW, LARGE = 4, 5_000_000  # images, and bytes of one: photos of some 24 megapixels and more
BROKEN_PIPE = 141  # as a shell calls the end by SIGPIPE


Format = Literal["table", "csv", "json", "jsonl"]
Model = Annotated[
    str | None, typer.Option(help="An approach, a checkpoint folder or models:/...; default: the best on val.")
]


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Images, folders, or - for a list on standard input."),
    ],
    model: Model = None,
    format: Annotated[
        Format | None, typer.Option(help="Default: by --output's suffix, else a table on a terminal and CSV in a pipe.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write the rows to this file, once all are there.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Answer only real or fake: up to four times as fast.")] = False,
    band: Annotated[
        float, typer.Option(min=0, max=1, help="A score closer than this to the threshold is unsure.")
    ] = 0.1,
    explain: Annotated[Path | None, typer.Option(help="Folder for the heat maps, one per image.")] = None,
    as_it_is: Annotated[
        bool, typer.Option("--whole", help="Score whole pictures, without searching for faces.")
    ] = False,
    null: Annotated[bool, typer.Option("--null", "-0", help="The names in the list end with a zero byte.")] = False,
) -> None:
    """Give each image a verdict (real, fake or unsure) and a score, the probability of fake (docs/use.md).

    Exit code 1: an image could not be read; all others get a verdict.
    """
    with importing():
        from tqdm import tqdm

        from fakeface.images.faces import trained_on_faces
        from fakeface.predict.detector import located, max_megapixels
        from fakeface.predict.squares import reading

    lists = [split_list(sys.stdin.buffer.read(), null) if name == "-" else [name] for name in paths]
    listed = list(entries(chain(*lists)))
    if not listed:
        print("note: no names on standard input", file=sys.stderr)
    counts: Counter[str] = Counter()
    with _opened(output) as out, located(model) as (folder, card), ExitStack() as stack:
        detector = f"{card['approach']} {card['sha256'][:12]}"
        megapixels = max_megapixels()
        detect = trained_on_faces(card) and not as_it_is
        # The first photos are decoded while torch is imported; a large one before, so that both are not in memory at once.
        first = len(listed) <= FEW and any(_size(entry.path) > LARGE for entry in listed)
        read = _reader(card, as_it_is, megapixels)
        batches = stack.enter_context(reading(listed, read, card.get("threads", 1), waiting=first))
        with importing():
            from fakeface.predict.facts import facts
            from fakeface.predict.service import open_checkpoint, predictions
        predictor = open_checkpoint(folder)
        if predictor.card["sha256"] != card["sha256"]:  # photos were cut, and will be named, by the first one's card
            raise UserError(f"{folder}: the detector was replaced while this command ran; run it again")
        known = facts(card)
        for text in filter(None, (known.warning, known.note)):
            print(f"note: {text}", file=sys.stderr)
        draw = _drawer(explain, predictor, detect, megapixels) if explain is not None else None
        found = predictions(predictor, batches, None if fast else band)

        kind = format or _format(output)
        shown = kind == "table" and output is None  # there the row says it, where everybody looks

        def rows() -> Iterator[dict[str, Any]]:
            started = said = time.monotonic()
            with tqdm(total=len(listed), unit="image", file=sys.stderr, disable=not sys.stderr.isatty()) as bar:
                for number, (entry, judged) in enumerate(zip(listed, found, strict=True), 1):
                    if entry.others:
                        folder = printable(entry.folder or "")
                        bar.write(f"note: {folder}: {entry.others} files of other types ignored", file=sys.stderr)
                    bar.clear()
                    for row in rows_of(entry, judged, card, detect):
                        yield row | {"says": judged.says, "detector": detector}
                        counts[row["verdict"] or ("problem" if row["problem"] else "without a face")] += 1
                        if row["problem"] and not shown:
                            bar.write(f"{printable(entry.path)}: {printable(row['problem'])}", file=sys.stderr)
                    if draw is not None:
                        draw(number, entry, judged)
                    bar.update()
                    if bar.disable and time.monotonic() - said >= PROGRESS:
                        said = time.monotonic()
                        rate = number / (said - started)
                        left = tqdm.format_interval((len(listed) - number) / rate)
                        said_now = f"{number} of {len(listed)} images, {rate:.1f} images/s, {left} left"
                        print(said_now, file=sys.stderr, flush=True)
                    if number % FLUSH == 0:
                        out.flush()

        columns = ["path", *(FACE_COLUMNS if detect else []), "score", "verdict", "problem", "note", "says", "detector"]
        longest = max((len(printable(entry.path)) for entry in listed), default=0)
        FORMATS[kind](rows(), out, columns, longest)
        out.flush()
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if name != "problem")
    unread = f"; {counts['problem']} could not be read" if counts["problem"] else ""
    print(f"{detector}: {told or 'nothing judged'}{unread}", file=sys.stderr)
    if counts["problem"]:
        raise typer.Exit(1)


def _format(output: Path | None) -> str:
    if output is None:
        return "table" if sys.stdout.isatty() else "csv"
    suffix = output.suffix.lower().lstrip(".")
    return {"txt": "table", **{name: name for name in FORMATS}}.get(suffix, "csv")


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that appears whole at the end."""
    if output is None:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        try:
            yield sys.stdout
        except BrokenPipeError:  # whoever reads has enough, such as `head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still to be flushed goes there
            raise SystemExit(BROKEN_PIPE) from None
        return
    if output.is_dir():
        raise UserError(f"{output}: is a folder; --output takes a file")
    with ExitStack() as stack:
        try:
            partial = stack.enter_context(whole(output))
            file = stack.enter_context(open(partial, "w", encoding="utf-8", newline=""))
        except OSError as error:
            raise UserError(f"{output}: cannot be written ({error.strerror})") from None
        yield file


def _size(path: str) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return 0


def _reader(card: dict[str, Any], as_it_is: bool, megapixels: float) -> Callable[[Entry], Sequence[Any]]:
    """Reads the squares in the file of an entry (`squares.squares_of`)."""
    from fakeface.images.decode import BadImage, read_file
    from fakeface.predict.squares import squares_of

    def read(entry: Entry) -> Sequence[Any]:
        if entry.problem:
            raise BadImage(entry.problem)
        return squares_of(read_file(entry.path, entry.folder), card, as_it_is, megapixels)

    return read


def _drawer(
    folder: Path, predictor: Any, detect: bool, megapixels: float
) -> Callable[[int, Entry, Sequence[Any]], None]:
    """Draws what was scored into `folder`: each square next to its heat map, and with `detect` the photo with its boxes."""
    from fakeface.images.decode import opened, read_file
    from fakeface.predict.pictures import boxes_picture, heat_picture

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: this folder cannot be created ({error.strerror}); choose another") from None

    def draw(number: int, entry: Entry, predictions: Sequence[Any]) -> None:
        squares = [one.square for one in predictions if not one.problem]
        for face, square in enumerate(squares, 1):
            name = picture_name(number, entry.path, face if detect else None)
            heat_picture(predictor, square.pixels, folder / name)
        if detect and squares:
            # read again: kept, the photos would fill the memory
            with opened(read_file(entry.path, entry.folder), megapixels) as (photo, _):
                boxes_picture(photo, predictions, folder / picture_name(number, entry.path, None))

    return draw
