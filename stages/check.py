"""Check params.yaml: keys, types, ranges, and that the weights, the folders and the GPU that it names are there.

Reads   params.yaml, and the files of weights that it names
Writes  reports/check.txt, always the same
Takes   less than a second, two where weights are read
"""

from fakeface.core.errors import UserError
from fakeface.core.files import write_text
from fakeface.core.load import check_machine, load_params
from fakeface.core.run import run


def check() -> None:
    params = load_params()
    check_machine(params)
    for name, section in params:
        if getattr(section, "weights", "none") not in ("imagenet", "none"):
            from fakeface.detector.weights import build_pretrained

            try:
                build_pretrained(section.network, section.weights)
            except UserError as error:
                raise UserError(f"params.yaml: {name}.weights: {error}") from None
    write_text("reports/check.txt", "params.yaml can be run.\n")


if __name__ == "__main__":
    run(check, __doc__)
