"""Check params.yaml: keys, types, ranges, and that the weights and the GPU that it names are there.

Reads   params.yaml
Writes  reports/check.txt, always the same
Takes   less than a second
"""

from fakeface.core.files import write_text
from fakeface.core.load import check_machine, load_params
from fakeface.core.run import run


def check() -> None:
    check_machine(load_params())
    write_text("reports/check.txt", "params.yaml can be run.\n")


if __name__ == "__main__":
    run(check, __doc__)
