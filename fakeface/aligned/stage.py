"""The stage `aligned`: from a folder with real photos a data folder with a round trip of each in its fake class.

Only the autoencoder's trace should distinguish a photo from its round trip: both have the same person, pose, size, JPEG history
and container. After Sundara Rajan et al. 2024 (arXiv:2410.11835) and Chen et al. 2025 (arXiv:2505.14359). Nothing of `detector`
is imported here: a change of it must not make the fakes again.
"""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from fakeface.aligned import autoencoder
from fakeface.aligned.history import Photo, read_photo
from fakeface.aligned.places import find_sources
from fakeface.core.errors import UserError, printable
from fakeface.core.files import whole
from fakeface.core.params import Params
from fakeface.core.progress import progress
from fakeface.images.decode import BadImage, quiet, read_file
from fakeface.images.listing import left_out

SMALL_PHOTOS = 200  # that the small autoencoder learns from
LOSSY = ("AVIF", "HEIF", "WEBP")  # formats that do not say how strongly they compressed


def make_aligned(params: Params, name: str) -> None:
    """Writes data/aligned/`name`, whole: both classes of the source as PNG, and `<fake>/aligned/` with the round trips.

    Raises:
        UserError: no such source, a missing folder or autoencoder, or a bad image where split.on_bad_image is `fail`.
    """
    split, p = params.split, params.aligned
    if name not in p.sources:
        raise UserError(f"params.yaml: aligned.sources has no {name!r}; it has {', '.join(p.sources) or 'none'}")
    source = Path(p.sources[name])
    reals, fakes = find_sources(source, split.real, split.fake)
    device = torch.device("cuda" if params.base.device != "cpu" and torch.cuda.is_available() else "cpu")
    torch.set_num_threads(1)  # each thread has an image of its own: threads change no byte
    torch.backends.cudnn.deterministic = True
    quiet()

    def read(path: Path) -> Photo:
        return read_photo(read_file(source / path, source), p.max_side, split.max_megapixels)

    if p.autoencoder == "small":
        print("note: the small autoencoder is for demonstration only: its traces are not those of real generators")
        network = autoencoder.train_small(_some(reals, read), params.base.seed)
    else:
        network = autoencoder.load(p.autoencoder)
    network = network.to(device).to(memory_format=torch.channels_last)

    lossy: list[str] = []

    def make(path: Path) -> str:
        """Writes what is made of one image; why it cannot be used, if it cannot."""
        place, *copies = reals.get(path) or fakes[path]
        try:
            photo = read(path)
        except BadImage as error:
            said = f"{printable(source / path)}: {error}"
            if split.on_bad_image == "fail":
                remedy = "repair or remove it, or set split.on_bad_image: skip in params.yaml"
                raise UserError(f"{said}; {remedy}") from None
            return said
        _save(photo, photo.pixels, folder / place)
        lossy.extend([photo.kind] if copies and photo.kind in LOSSY else [])
        for target in copies:
            copy = autoencoder.round_trip(network, photo.pixels, device)
            share = p.mix * _drawn(params.base.seed, target)
            mixed = np.rint((1 - share) * copy + share * photo.pixels).astype(np.uint8)
            _save(photo, photo.with_history(mixed), folder / target)
        return ""

    started = time.perf_counter()
    with whole(Path("data/aligned", name)) as folder, ThreadPoolExecutor(params.base.threads) as pool:
        made = progress(pool.map(make, [*reals, *fakes]), len(reals) + len(fakes), "aligned", "image")
        bad = [reason for reason in made if reason]
        if not any((folder / places[0]).is_file() for places in reals.values()):
            raise UserError(f"{source}: none of its {len(reals)} real photos can be used; the first: {bad[0]}")
    for reason in bad:
        print(f"note: {reason}; left out")
    if unused := left_out(source, split.real, split.fake):
        print("note: not used: " + ", ".join(f"{n} {printable(kind)}" for kind, n in unused.items()))
    for kind, count in sorted(Counter(lossy).items()):
        print(f"note: {count} photos are {kind} files: their compression cannot be reproduced in the aligned fakes")
    seconds = (time.perf_counter() - started) / len(reals)
    print(f"{len(reals)} photos, {len(fakes)} fakes that were there already; {seconds:.2f} s per round trip")


def _some(reals: dict[Path, list[Path]], read: Callable[[Path], Photo]) -> list[np.ndarray]:
    """The pixels of the first readable photos."""
    photos: list[np.ndarray] = []
    for path in reals:
        try:
            photos.append(read(path).pixels)
        except BadImage:
            continue
        if len(photos) == SMALL_PHOTOS:
            break
    if not photos:
        raise UserError(f"none of the {len(reals)} real photos can be read; look at {printable(next(iter(reals)))}")
    return photos


def _drawn(seed: int, target: Path) -> float:
    """A number in 0..1 that depends only on the seed and the name, not on the order of the photos."""
    key = hashlib.blake2b(os.fsencode(target.as_posix()), digest_size=8).digest()
    return float(np.random.default_rng([seed, int.from_bytes(key)]).random())


def _save(photo: Photo, pixels: np.ndarray, path: Path) -> None:
    """As PNG without compression: a round trip is smoother than its photo, and would make a smaller file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    photo.upright(pixels).save(path, "PNG", compress_level=0)
