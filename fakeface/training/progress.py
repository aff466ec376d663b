"""How far a training is: a bar in a terminal, a plain line now and then where there is none."""

import sys
import time

from tqdm import tqdm

from fakeface.detector import distributed

LINE_SECONDS = 5  # at most a line so often; the last epoch always has one


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
            print(f"going on after epoch {done} of {epochs}", file=sys.stderr)
        total, seen = epochs * images, done * images
        super().__init__(
            total=total, initial=seen, unit="image", desc="train", mininterval=0.5, disable=not self.terminal
        )

    def epoch(self, row: dict[str, float]) -> None:
        """An epoch is over; `row` is its row of the history."""
        number, now = int(row["epoch"]), time.monotonic()
        loss, accuracy = row["train_loss"], row.get("val_balanced_accuracy", row["val_accuracy"])
        self.set_postfix(epoch=number, train=f"{loss:.3f}", val_acc=f"{accuracy:.3f}")
        if self.silent or self.terminal or (now - self.said < LINE_SECONDS and number < self.epochs):
            return
        self.said = now
        speed = (number - self.done) * self.images / max(now - self.started, 1e-9)
        left = (self.epochs - number) * self.images / speed
        print(
            f"epoch {number}/{self.epochs}: train loss {loss:.3f}, val accuracy {accuracy:.3f}, "
            f"{speed:.0f} images/s, {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )
