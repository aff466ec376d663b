"""The split folder: rows keep their order, bad images leave no hole, a damaged folder is one clear line."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fakeface.core.errors import UserError
from fakeface.images import rows, store
from fakeface.images.decode import BadImage, Decoded, Found, decode
from fakeface.images.store import COLUMNS, Dataset, PixelFile, decode_all, write_pixels

SIZE = 16


def decoded(value):
    return Decoded(np.full((3, SIZE, SIZE), value, dtype=np.uint8), f"{value}", SIZE, SIZE, "PNG")


def stream(results):
    return iter([(Found(f"r/{i}.png", str(i), 0), result) for i, result in enumerate(results)])


def write(path, results, n=None):
    kept = []
    bad = write_pixels(path, stream(results), n or len(results), SIZE, lambda item, image: kept.append(item.path))
    return np.load(path, allow_pickle=False, mmap_mode="r"), kept, bad


@pytest.fixture
def folder(tmp_path):
    """A split folder of three images."""
    write(tmp_path / "pixels.npy", [decoded(1), decoded(2), decoded(3)])
    rows = [
        ("0_real/01.png", 0, "x", "01", "train", 16, 16, "PNG"),
        ("0_real/NA.png", 0, "y", "NA", "test", 16, 16, "PNG"),
        ("1_fake/01.png", 1, "z", "01", "train", 16, 16, "PNG"),
    ]
    pd.DataFrame(rows, columns=COLUMNS).to_csv(tmp_path / "manifest.csv", index=False)
    return tmp_path


def test_pixels_are_written_in_order_as_numpy_writes_them(tmp_path):
    _, kept, bad = write(tmp_path / "p.npy", [decoded(5), BadImage("is empty"), decoded(3), decoded(9)])
    np.save(tmp_path / "q.npy", np.stack([decoded(value).pixels for value in (5, 3, 9)]))
    assert (tmp_path / "p.npy").read_bytes() == (tmp_path / "q.npy").read_bytes()
    assert kept == ["r/0.png", "r/2.png", "r/3.png"]
    assert bad == [("r/1.png", "is empty")]


@pytest.mark.parametrize("promised", [10, 1_000, 123_456_789])
def test_header_is_corrected_whatever_was_promised(tmp_path, promised):
    pixels, _, _ = write(tmp_path / "p.npy", [decoded(7)] * 3, n=promised)
    assert pixels.shape == (3, 3, SIZE, SIZE)
    assert (tmp_path / "p.npy").stat().st_size % 64 == 0


def test_store_without_a_usable_image_is_empty(tmp_path):
    bad = write_pixels(tmp_path / "p.npy", stream([BadImage("x")] * 3), 3, SIZE, lambda *_: None)
    assert len(bad) == 3
    assert np.load(tmp_path / "p.npy", allow_pickle=False).shape == (0, 3, SIZE, SIZE)


def test_decode_all_keeps_the_order_whichever_thread_is_first(tmp_path, monkeypatch):
    def slow_when_even(path, *rest):
        number = int(Path(path).stem)
        time.sleep(0.01 * (number % 2 == 0))
        if number == 5:
            raise BadImage("is the fifth")
        return decoded(number)

    monkeypatch.setattr(store, "decode", slow_when_even)
    monkeypatch.setattr(store, "CHUNK", 4)
    found = [Found(f"r/{i}.png", str(i), 0) for i in range(11)]
    results = list(decode_all(tmp_path, found, SIZE, 50, threads=3))
    assert [item for item, _ in results] == found
    assert [r.sha256 if isinstance(r, Decoded) else str(r) for _, r in results] == [
        "is the fifth" if i == 5 else str(i) for i in range(11)
    ]


def test_decode_all_reads_no_further_ahead_than_a_chunk(tmp_path, monkeypatch):
    lock, seen = threading.Lock(), []

    def counting(path, *rest):
        with lock:
            seen.append(path)
        return decoded(0)

    monkeypatch.setattr(store, "decode", counting)
    monkeypatch.setattr(store, "CHUNK", 4)
    images = decode_all(tmp_path, [Found(f"r/{i}.png", str(i), 0) for i in range(40)], SIZE, 50, threads=2)
    next(images)
    time.sleep(0.02)
    assert len(seen) <= 4
    images.close()


def test_threads_do_not_change_the_bytes(tmp_path):
    rng = np.random.default_rng(0)
    found = []
    for i in range(9):
        Image.fromarray(rng.integers(0, 256, (20 + i, 30, 3), dtype=np.uint8)).save(tmp_path / f"{i}.jpg")
        found.append(Found(f"{i}.jpg", str(i), 0))
    for threads in (1, 3):
        images = decode_all(tmp_path, found, SIZE, 50, threads)
        write_pixels(tmp_path / f"p{threads}.npy", images, len(found), SIZE, lambda *_: None)
    assert (tmp_path / "p1.npy").read_bytes() == (tmp_path / "p3.npy").read_bytes()
    assert np.array_equal(np.load(tmp_path / "p1.npy")[4], decode(tmp_path / "4.jpg", SIZE, 50).pixels)


def test_dataset_reads_labels_splits_and_names_as_they_are(folder):
    dataset = Dataset.open(folder)
    assert dataset.labels.tolist() == [0, 0, 1]
    assert dataset.labels.dtype == np.int64
    assert dataset.rows("train").tolist() == [0, 2]
    assert dataset.rows("val").tolist() == []
    assert dataset.manifest["source"].tolist() == ["01", "NA", "01"]  # neither a number nor a missing value
    assert dataset.pixels.shape == (3, 3, SIZE, SIZE)
    assert dataset.pixels[dataset.rows("train")].max((1, 2, 3)).tolist() == [1, 3]


INDICES = {
    "one": 4,
    "one of numpy's": np.int64(4),
    "the last": -1,
    "some": np.array([5, 0, 5, 2]),
    "a list": [6, -2],
    "none": np.array([], dtype=np.int64),
    "slice": slice(1, 6, 2),
    "backwards": slice(None, None, -1),
    "all": slice(None),
    "mask": np.array([True, False, False, True, True, False, False]),
    "table": np.array([[1, 2, 3], [4, 5, 6]]),
}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES.keys())
def test_pixel_file_is_indexed_like_the_array_it_holds(tmp_path, index):
    array = np.random.default_rng(0).integers(0, 256, (7, 3, 5, 5), dtype=np.uint8)
    np.save(tmp_path / "p.npy", array)
    pixels = PixelFile(tmp_path / "p.npy")
    assert (pixels.shape, pixels.dtype, len(pixels)) == (array.shape, array.dtype, 7)
    rows = pixels[index]
    assert np.array_equal(rows, array[index])
    assert rows.dtype == np.uint8
    rows[...] = 0  # a copy of one's own, which torch takes without a warning
    assert np.array_equal(pixels[index], array[index])
    assert np.array_equal(np.stack(list(pixels)), array)


@pytest.mark.parametrize("index", [7, -8, np.array([0, 7])])
def test_row_that_is_not_there_is_an_index_error(tmp_path, index):
    np.save(tmp_path / "p.npy", np.zeros((7, 3, 5, 5), dtype=np.uint8))
    with pytest.raises(IndexError):
        PixelFile(tmp_path / "p.npy")[index]


def test_reads_that_come_in_pieces_are_put_together(tmp_path, monkeypatch):
    array = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 5), dtype=np.uint8)
    np.save(tmp_path / "p.npy", array)
    whole = os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, views, start: whole(file, [views[0][:31]], start))
    assert np.array_equal(PixelFile(tmp_path / "p.npy")[[3, 1]], array[[3, 1]])


def test_store_cut_short_while_open_is_one_clear_line(tmp_path):
    np.save(tmp_path / "p.npy", np.ones((4, 3, 5, 5), dtype=np.uint8))
    pixels = PixelFile(tmp_path / "p.npy")
    os.truncate(tmp_path / "p.npy", (tmp_path / "p.npy").stat().st_size - 10)
    assert pixels[:3].all()
    with pytest.raises(UserError, match=r"p\.npy: ends before row 3"):
        pixels[3]


def test_an_open_store_outlives_its_replacement_and_is_closed_when_forgotten(tmp_path):
    """A stage that replaces the folder leaves an open reader its own data; and no file stays open for ever."""
    np.save(tmp_path / "p.npy", np.full((2, 3, 5, 5), 7, dtype=np.uint8))
    pixels = PixelFile(tmp_path / "p.npy")
    file = pixels._file
    np.save(tmp_path / "q.npy", np.zeros((2, 3, 5, 5), dtype=np.uint8))
    (tmp_path / "q.npy").replace(tmp_path / "p.npy")
    assert (pixels[0] == 7).all()
    del pixels
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)


MEMORY = """
import sys
import numpy as np, psutil
from fakeface.images.store import PixelFile
pixels = PixelFile(sys.argv[1]) if sys.argv[2] == "file" else np.load(sys.argv[1], mmap_mode="r")
order = np.random.default_rng(0).permutation(len(pixels)).reshape(-1, 16)
pixels[order[0]]
before, most, total = psutil.Process().memory_info().rss, 0, 0
for part in order:
    total += int(pixels[part].sum())
    most = max(most, psutil.Process().memory_info().rss)
print(most - before, total)
"""


def test_memory_stays_flat_however_many_rows_are_read(tmp_path):
    """96 MB of rows in batches of 16; through a memory map every page would be this process's in the end."""
    array = np.random.default_rng(0).integers(0, 256, (2000, 3, 128, 128), dtype=np.uint8)
    np.save(tmp_path / "p.npy", array)
    grown = {}
    for way in ("file", "map"):
        command = [sys.executable, "-c", MEMORY, str(tmp_path / "p.npy"), way]
        output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        grown[way], total = map(int, output.split())
        assert total == array.sum(dtype=np.int64)
    assert grown["file"] < 8e6
    assert grown["map"] > 0.5 * array.nbytes  # what this test is there for


def test_threads_may_read_one_store_at_once(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (64, 3, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "p.npy", array)
    pixels = PixelFile(tmp_path / "p.npy")
    orders = [np.random.default_rng(seed).permutation(64) for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        for order, rows in zip(orders, pool.map(pixels.__getitem__, orders), strict=True):
            assert np.array_equal(rows, array[order])


def test_data_hash_is_the_manifests(folder):
    wanted = hashlib.sha256((folder / "manifest.csv").read_bytes()).hexdigest()
    assert Dataset.open(folder).data_hash == wanted


def refused(folder):
    with pytest.raises(UserError) as caught:
        Dataset.open(folder)
    message = str(caught.value)
    assert len(message.splitlines()) == 1, message
    assert str(folder) in message
    assert "dvc repro" in message


CONTENTS = {
    "empty": b"",
    "text": b"text",
    "pickle": b"\x80\x04K\x01.",
    "zip": b"PK\x03\x04junk",
    "numpy magic": b"\x93NUMPY",
    "ragged csv": b"a,b\n1,2,3\n4,5,6,7,8\n",
    "no utf-8": b"\xff\xfe\x00",
    "missing": None,
}


@pytest.mark.parametrize(("text", "facts"), [(None, {}), *((t, {"drawings": t == "true"}) for t in ("true", "false"))])
def test_what_is_known_of_the_images_is_for_the_card_and_nothing_is_claimed_without_it(folder, text, facts):
    if text is not None:
        (folder / "facts.json").write_text(f'{{"drawings": {text}}}\n')
    assert Dataset.open(folder).facts() == facts


@pytest.mark.parametrize("text", ["", "{}", "[]", "\x00"])
def test_damaged_facts_are_refused(folder, text):
    (folder / "facts.json").write_text(text)
    refused(folder)


@pytest.mark.parametrize("name", ["manifest.csv", "pixels.npy"])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_missing_or_damaged_file_is_refused(folder, name, content):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    refused(folder)


def test_truncated_pixels_are_refused(folder):
    data = (folder / "pixels.npy").read_bytes()
    (folder / "pixels.npy").write_bytes(data[:-100])
    refused(folder)


UNFIT = [
    np.zeros((2, 3, 16, 16), np.uint8),
    np.zeros((3, 3, 16, 16), np.float32),
    np.zeros((3, 3, 9, 9), np.int8),
    np.array(3, np.uint8),
    np.zeros((3, 1, 9, 9), np.uint8),
    np.zeros((3, 3, 9, 8), np.uint8),
]


@pytest.mark.parametrize("pixels", UNFIT, ids=lambda pixels: f"{pixels.dtype}{pixels.shape}")
def test_pixels_of_another_shape_or_type_are_refused(folder, pixels):
    np.save(folder / "pixels.npy", pixels)
    refused(folder)


def test_manifest_with_other_columns_is_refused(folder):
    manifest = pd.read_csv(folder / "manifest.csv").rename(columns={"label": "class"})
    manifest.to_csv(folder / "manifest.csv", index=False)
    refused(folder)


def rewrite(folder, column, value):
    manifest = pd.read_csv(folder / "manifest.csv", keep_default_na=False)
    manifest[column] = manifest[column].astype(object)
    manifest.loc[1, column] = value
    manifest.to_csv(folder / "manifest.csv", index=False)


@pytest.mark.parametrize(("column", "value"), [("label", 2), ("label", "real"), ("label", ""), ("split", "tset")])
def test_manifest_with_a_label_or_split_that_there_is_not_is_refused(folder, column, value):
    rewrite(folder, column, value)
    with pytest.raises(UserError, match=r"manifest\.csv: has an unknown label or split"):
        Dataset.open(folder)


@pytest.fixture
def features(folder):
    """Features of the split of three images: two to train, none to choose by."""
    (folder / "features").mkdir()
    np.save(folder / "features" / "train.npy", np.ones((4, 2, 5), np.float32))
    np.save(folder / "features" / "val.npy", np.ones((1, 0, 5), np.float32))
    (folder / "features" / "data_hash.txt").write_text(Dataset.open(folder).data_hash + "\n")
    return folder / "features"


def test_features_come_back_as_they_were_written(folder, features):
    values = np.random.default_rng(0).normal(size=(4, 2, 5)).astype(np.float32)
    np.save(features / "train.npy", values)
    stored = Dataset.open(folder).features(features)
    assert {name: [view.shape for view in views] for name, views in stored.items()} == {
        "train": [(2, 5)] * 4,
        "val": [(0, 5)],
    }
    for view, wanted in zip(stored["train"], values, strict=True):
        assert np.array_equal(view[[1, 0, 1]], wanted[[1, 0, 1]])
        assert view[:].dtype == np.float32


def test_all_features_come_in_pieces_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "PIECE", 3)
    values = np.random.default_rng(0).normal(size=(2, 7, 5)).astype(np.float32)
    np.save(tmp_path / "f.npy", values)
    found = list(rows.pieces(rows.feature_views(tmp_path / "f.npy")))
    assert [len(piece) for piece in found] == [3, 3, 1] * 2
    assert np.array_equal(np.concatenate(found), values.reshape(-1, 5))


FEATURES = """
import sys, tracemalloc
import numpy as np, torch
from fakeface.detector.batches import FeatureBatches
from fakeface.images.rows import feature_views
from fakeface.training.standardise import standardise
tracemalloc.start()
stored = {name: feature_views(sys.argv[1]) for name in ("train", "val")}
standardise(stored)
count = len(stored["train"][0])
batches = FeatureBatches(stored["train"], np.zeros(count, np.int64), batch_size=16, device=torch.device("cpu"))
seen = sum(len(x) for epoch in range(2) for x, _ in batches.train(epoch))
assert seen == 2 * count, seen
print(tracemalloc.get_traced_memory()[1])
"""


def test_memory_for_features_stays_flat_however_many_there_are(tmp_path):
    """Standardised and trained on: 4 and 32 MB of features, of which 4 MB are read at once."""
    most = []
    for n in (1000, 8000):
        np.save(tmp_path / "f.npy", np.random.default_rng(0).random((2, n, 512), dtype=np.float32))
        command = [sys.executable, "-c", FEATURES, str(tmp_path / "f.npy")]
        most.append(int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout))
    assert most[1] < most[0] + 2e6


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (np.ones((4, 3, 5), np.float32), "does not fit the split"),
        (np.full((4, 2, 5), np.nan, np.float32), "NaN or infinite"),
        (np.full((4, 2, 5), np.inf, np.float32), "NaN or infinite"),
        (np.ones((4, 2, 6), np.float32), "does not fit the split"),
        (np.ones((4, 2, 5), np.float64), "is not float32"),
        (np.ones((2, 5), np.float32), "is not float32"),
        (np.array([[[{}]]], dtype=object), "the features are missing or incomplete"),
    ],
)
def test_features_that_were_tampered_with_are_refused(folder, features, train, words):
    np.save(features / "train.npy", train, allow_pickle=True)
    with pytest.raises(UserError, match=words) as caught:
        Dataset.open(folder).features(features)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["train.npy", "val.npy", "data_hash.txt"])
def test_features_that_are_gone_or_cut_short_are_refused(folder, features, name):
    data = (features / name).read_bytes()
    (features / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"the features are missing or incomplete|another split|does not fit"):
        Dataset.open(folder).features(features)
    (features / name).unlink()
    with pytest.raises(UserError, match="the features are missing or incomplete"):
        Dataset.open(folder).features(features)
