"""Check params.yaml: keys, types, ranges, and whether the weights, folders, generators and GPU that it names exist.

Downloads missing weights now, since DVC removes a model before it is trained again.

Reads   params.yaml, the files of weights that it names, and with evaluate.leave_out the names of the images
Writes  reports/check.txt, always the same; reports/extra/sets.txt, the names of evaluate.extra_sets
Takes   less than a second, two if weights are read, longer if they are downloaded
"""

from fakeface.core.errors import UserError
from fakeface.core.files import write_text
from fakeface.core.load import check_machine, load_params
from fakeface.core.run import run


def check() -> None:
    params = load_params()
    check_machine(params)
    for name, section in params:
        weights = getattr(section, "weights", "none")
        if weights == "none" or (weights == "imagenet" and section.network == "efficientnet_lite0"):
            continue  # nothing to read or to download
        from fakeface.detector.weights import build_pretrained, here

        if weights != "imagenet" or not here(section.network, weights):
            try:
                build_pretrained(section.network, section.weights)
            except UserError as error:
                raise UserError(f"params.yaml: {name}.weights: {error}") from None
    # what the stages sample and aligned make comes later; the variants look again
    if params.evaluate.leave_out and params.aligned_source() is None:
        import numpy as np

        from fakeface.images.decode import find_images
        from fakeface.images.generators import generators, to_leave_out

        p = params.split
        found = find_images(p.data, p.real, p.fake) if p.data != "data/sample" else []  # which has one generator
        names = generators([image.path for image in found], np.array([image.label for image in found]))
        to_leave_out(params.evaluate.leave_out, names, p.data)
    write_text("reports/extra/sets.txt", "\n".join(["# evaluate.extra_sets", *params.evaluate.extra_sets, ""]))
    write_text("reports/check.txt", "params.yaml can be run.\n")


if __name__ == "__main__":
    run(check, __doc__)
