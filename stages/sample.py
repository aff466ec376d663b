"""Draw the embedded sample: portraits and their re-synthesised fakes, so that the pipeline runs without any data.

Reads   params.yaml (sample)
Writes  data/sample/0_real/NNNN.jpg and data/sample/1_fake/NNNN.jpg; the same number is the same portrait
Takes   about 30 s of processor time for 300 + 300, shared by two cores (Intel Xeon, 2026-11-26); sample.count: 0 draws nothing
"""

import os

from fakeface.core.files import whole
from fakeface.core.load import load_params
from fakeface.core.run import run


def sample() -> None:
    params = load_params()
    with whole("data/sample") as folder:
        folder.mkdir()
        if params.sample.count == 0:
            print("sample.count is 0: nothing drawn")
            return
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: the threads that draw fill the cores

        from fakeface.sample.generator import make_sample

        make_sample(folder, count=params.sample.count, threads=params.base.threads)
    print(f"drew {params.sample.count} portraits and made a fake of each")


if __name__ == "__main__":
    run(sample, __doc__)
