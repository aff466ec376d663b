"""The target path of each photo, of its round trip and of each existing fake."""

from pathlib import Path

from fakeface.core.errors import UserError
from fakeface.images.decode import class_images
from fakeface.images.generators import ALIGNED
from fakeface.images.listing import check_apart, given_folders, renamed

MADE, GIVEN = ALIGNED, "given"  # sub-folders of the fake class: the round trips, and fakes that lay flat


def find_sources(root: Path, real: str, fake: str) -> tuple[dict[Path, list[Path]], dict[Path, list[Path]]]:
    """Real photos with the places of their PNG and of their round trip, and fakes with theirs; relative to their data folders.

    The real class must be there, the fake one may be. Names stay but for the suffix, so the split knows each fake's photo.

    Raises:
        UserError: the folder or its real class is missing or empty, or a sub-folder of the fakes has a name that is needed.
    """
    if not root.is_dir():
        raise UserError(
            f"{root}: no such folder; put your real photos there, or correct aligned.sources in params.yaml"
        )
    reals: dict[Path, list[Path]] = {}
    fakes: dict[Path, list[Path]] = {}
    for above in map(Path, given_folders(root, real, fake) or [""]):
        if (root / above / fake).is_dir():
            check_apart(root / above / real, root / above / fake)
        for label, (kind, found) in enumerate(((real, reals), (fake, fakes))):
            if label == 1 and not (root / above / kind).is_dir():
                continue
            here = above / kind
            paths = [Path(image.path).relative_to(here) for image in class_images(root, kind, label, above.as_posix())]
            for place, path in renamed(paths, ".png").items():
                if label == 0:
                    found[here / path] = [here / place, above / fake / MADE / place]
                    continue
                if path.parts[0] in (MADE, GIVEN):
                    said = "the stage uses this name itself; rename the folder"
                    raise UserError(f"{root / here / path.parts[0]}: {said}")
                found[here / path] = [here / place if len(path.parts) > 1 else here / GIVEN / place]
    return reals, fakes
