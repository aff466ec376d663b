"""How far a training is: a bar in a terminal, otherwise a plain line now and then."""

import sys
import time

from tqdm import tqdm

from fakeface.detector import distributed

LINE_SECONDS = 5  # at most a line so often; the last epoch always has one
SILENT_SECONDS = 30  # within an epoch at least one so often


class ProgressBar(tqdm):
    """Images seen of all epochs (of `images` each), images/s, time left; silent in all processes but the first.

    `done`: epochs that an earlier run has finished.
    """

    def __init__(self, epochs: int, images: int, done: int) -> None:
        self.epochs, self.images, self.done = epochs, images, done
        self.silent = distributed.rank() != 0
        self.terminal = sys.stderr.isatty() and not self.silent
        self.started = self.said = time.monotonic()
        if done and not self.silent:
            print(f"resuming after epoch {done} of {epochs}", file=sys.stderr)
        total, self.seen = epochs * images, done * images
        super().__init__(
            total=total, initial=self.seen, unit="image", desc="train", mininterval=0.5, disable=not self.terminal
        )

    def update(self, n: float | None = 1) -> bool | None:
        """`n` more images were seen."""
        self.seen += int(n or 0)
        if not self.terminal and time.monotonic() - self.said >= SILENT_SECONDS:
            epochs, images = divmod(self.seen, self.images)
            self._say(f"epoch {epochs + 1}/{self.epochs}: {images} of {self.images} images")
        return super().update(n)

    def epoch(self, row: dict[str, float]) -> None:
        """An epoch is over; `row` is its row of the history."""
        number, loss = int(row["epoch"]), row["train_loss"]
        accuracy = row.get("val_balanced_accuracy", row["val_accuracy"])
        self.set_postfix(epoch=number, train=f"{loss:.3f}", val_acc=f"{accuracy:.3f}")
        if not self.terminal and (time.monotonic() - self.said >= LINE_SECONDS or number == self.epochs):
            self._say(f"epoch {number}/{self.epochs}: train loss {loss:.3f}, val accuracy {accuracy:.3f}")

    def _say(self, what: str) -> None:
        """A line without a terminal; the speed is that since the start, validation included."""
        self.said = time.monotonic()
        speed = (self.seen - self.done * self.images) / max(self.said - self.started, 1e-9)
        left = (self.epochs * self.images - self.seen) / max(speed, 1e-9)
        if not self.silent:
            print(f"{what}, {speed:.0f} images/s, {left:.0f} s left", file=sys.stderr, flush=True)
