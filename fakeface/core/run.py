"""Runs a stage or a command: an error of the user becomes one line and an exit code, and it ends soon after DVC has ended."""

import atexit
import errno
import gc
import os
import pkgutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import wraps
from typing import Any

from fakeface.core.code import check_code
from fakeface.core.errors import UserError, printable

OTHERS_SECONDS = 20
REMEDIES = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free disk space, then run again") | dict.fromkeys(
    (errno.EACCES, errno.EPERM, errno.EROFS), "check permissions or choose another path, then run again"
)
REMEDIES |= dict.fromkeys(
    (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG), "correct or choose another path, then run again"
)


def run(stage: Callable[..., None], description: str | None) -> None:
    """Runs a stage as a Typer program; `description` (its module's docstring) is the --help, line by line.

    Outside a clone the stage starts only if code.yaml is that of the installed version.
    """
    import typer

    @wraps(stage)
    def checked(*args: Any, **kwargs: Any) -> None:
        check_code()
        stage(*args, **kwargs)

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    # \b keeps a paragraph's lines as they are
    app.command(help=(description or "").replace("\n\n", "\n\n\b\n"))(checked)
    run_app(app)


def run_stage(body: str, description: str | None, around: str = "", bound: bool = False) -> None:
    """Runs `body` ("module:function") as a stage; it gets the parameters.

    Args:
        description: as in `run`.
        around: "module:function" of a context manager that the body runs in; it gets the body's name and the parameters.
        bound: torch's threads each keep to a core (`cores.bind`).
    """

    def stage() -> None:
        from fakeface.core.cores import bind
        from fakeface.core.load import load_params

        params = load_params()  # first: a wrong value is answered before the heavy imports
        if bound:
            bind(params.base)
        with importing():
            work = pkgutil.resolve_name(body)
        with pkgutil.resolve_name(around)(work.__name__, params) if around else nullcontext():
            work(params)

    run(stage, description)


@contextmanager
def importing() -> Iterator[None]:
    """Around heavy imports: their objects stay, so garbage is not looked for among them, then or later (0.15 s for torch)."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def run_app(app: Callable[[], Any]) -> None:
    """Runs a command-line app: a `UserError` becomes one line on stderr and exit code 1 (wrong usage: 2).

    The last thing that a process does: at its end memory and libraries are left to the system.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed, as some services start programs
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  for as long as the process
    code: list[int] = []
    atexit.register(_end, code)  # the first to be registered is the last to be called
    # As an exception, so that temporary files are removed and the MLflow run is ended.
    signal.signal(signal.SIGTERM, _stop)
    if "DVC_STAGE" in os.environ:
        threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        app()
    except SystemExit as end:
        code += [end.code or 0] if isinstance(end.code, int | None) else []
        raise
    except UserError as error:
        if os.environ.get("LOCAL_RANK") and os.environ["RANK"] != "0":
            time.sleep(OTHERS_SECONDS)  # of several processes the first one speaks, and then torchrun ends this one
        sys.exit(f"error: {printable(error)}")
    except ModuleNotFoundError as error:
        package = (error.name or "fakeface").partition(".")[0]
        if package in ("fakeface", "stages"):
            raise
        sys.exit(f"error: this needs the package {package}: run `pip install 'fakeface[pipeline]'`")
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        said = os.strerror(error.errno)
        sys.exit(f"error: {printable(error.filename or 'disk')}: {said}; {REMEDIES[error.errno]}")


def _end(code: list[int]) -> None:
    """Ends the process with that exit code, if there is one: to take down torch and its CUDA libraries, also where there is no
    GPU, takes 0.3 s and 125 MB."""
    with suppress(OSError, ValueError):  # nobody reads any more: the interpreter says so in its own way
        sys.stdout.flush()
        sys.stderr.flush()
        if code:
            os._exit(code[0])


def _stop(*_: object) -> None:
    # a second one, from DVC's end perhaps, must not disturb the tidying up
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def _end_with_parent(parent: int) -> None:
    """SIGTERM ends DVC at once and leaves its stage behind; the stage notices, and ends as if it had got the signal itself."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
