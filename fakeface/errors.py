"""What the user did wrong, said in one line, with the exit code that goes with it."""

import signal
import sys
from collections.abc import Callable
from typing import Any


class UserError(Exception):
    """A mistake in data, parameters or files; the message names the file, the key and the remedy."""


def run(stage: Callable[[], None], description: str | None) -> None:
    """Runs a stage as a Typer program; `description` (its module's docstring) is the --help, line by line."""
    import typer

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    # \b keeps a paragraph's lines as they are
    app.command(help=(description or "").replace("\n\n", "\n\n\b\n"))(stage)
    run_app(app)


def run_app(app: Callable[[], Any]) -> None:
    """Runs a command-line app: a `UserError` becomes one line on stderr and exit code 1 (wrong usage: 2)."""
    # As an exception, so that temporary files are removed and the MLflow run is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        app()
    except UserError as error:
        sys.exit(f"error: {error}")
