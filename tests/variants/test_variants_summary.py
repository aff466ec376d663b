"""The summary of variants: what it reads back is what a variant wrote."""

import pandas as pd

from fakeface.variants.summary import read_scores


def test_photos_whose_names_look_like_numbers_or_nothing_stay_apart(tmp_path):
    sources = ["1", "01", "1.0", "NA", "null", "1e3"]
    written = pd.DataFrame(
        {"path": sources, "label": 0, "source": sources, "in_train": [True, False] * 3, "score": 0.25}
    )
    written.to_csv(tmp_path / "predictions.csv", index=False)
    pd.testing.assert_frame_equal(read_scores(tmp_path / "predictions.csv"), written)
