"""What a file's header tells, and which files are copies or twins of others."""

import contextlib
import hashlib
import io
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fakeface.audit import facts as audit
from fakeface.audit.facts import FACTS, file_facts, find_copies, jpeg_quality, pair_table, read_facts, stems_of
from fakeface.core.errors import UserError

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8))
MEGA = 50.0
FOLDERS = ("0_real", "1_fake")


def encoded(kind, image=PICTURE, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_format_size_and_mode_are_the_files_own(kind):
    data = encoded(kind)
    facts = file_facts(data, MEGA)
    assert (facts["format"], facts["mode"], facts["width"], facts["height"]) == (kind, "RGB", 32, 24)
    assert facts["bytes"] == len(data)
    assert bool(facts["quantization"]) == (kind == "JPEG")
    assert bool(facts["quality"]) == (kind == "JPEG")


@given(quality=st.integers(1, 100))
@settings(max_examples=25, deadline=None)
def test_the_quality_of_a_standard_jpeg_is_found(quality):
    with Image.open(io.BytesIO(encoded("JPEG", quality=quality))) as image:
        assert jpeg_quality(image.quantization) == quality


def test_other_tables_have_another_digest_and_the_nearest_quality():
    own = [[1] * 64, [2] * 64]
    facts = file_facts(encoded("JPEG", qtables=own), MEGA)
    assert facts["quantization"] != file_facts(encoded("JPEG", quality=100), MEGA)["quantization"]
    assert facts["quality"] == 100
    assert len(facts["quantization"]) == 8


@pytest.mark.parametrize("chroma", ["4:4:4", "4:2:2", "4:2:0"])
def test_chroma_subsampling_is_told(chroma):
    assert file_facts(encoded("JPEG", subsampling=chroma), MEGA)["subsampling"] == chroma


def test_a_grey_jpeg_has_no_chroma():
    facts = file_facts(encoded("JPEG", PICTURE.convert("L")), MEGA)
    assert (facts["mode"], facts["subsampling"]) == ("L", "grey or other")


def test_exif_and_text_leave_traces():
    exif = Image.Exif()
    exif[271], exif[305], exif[274] = "a camera", "a program", 6
    traces = file_facts(encoded("JPEG", exif=exif, comment="made by"), MEGA)["traces"].split(", ")
    assert {"EXIF", "EXIF camera", "EXIF software", "EXIF orientation", "comment"} <= set(traces)
    assert "EXIF" not in file_facts(encoded("JPEG"), MEGA)["traces"]
    note = PngInfo()
    note.add_text("parameters", "a portrait, detailed")
    assert file_facts(encoded("PNG", pnginfo=note), MEGA)["traces"] == "text"
    assert "progressive" in file_facts(encoded("JPEG", progressive=True), MEGA)["traces"]


@pytest.mark.filterwarnings("error")
def test_damaged_exif_is_noted_not_raised():
    assert "EXIF" in file_facts(encoded("JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff"), MEGA)["traces"]


@given(st.binary(max_size=200), st.integers(0, 400))
@settings(max_examples=80, deadline=None)
def test_any_bytes_give_facts_or_a_value_error(noise, place):
    data = encoded("JPEG")
    for broken in (noise, data[:place] + noise + data[place + len(noise) :], data[:place]):
        with contextlib.suppress(ValueError):
            assert file_facts(broken, MEGA)["bytes"] == len(broken)


def test_too_many_pixels_are_refused_before_they_are_decoded():
    with pytest.raises(ValueError, match="max_megapixels"):
        file_facts(encoded("PNG"), 0.0001)


def test_facts_come_in_the_manifests_order_and_changed_files_are_named(tmp_path):
    rows = []
    for name in ("0_real/b.jpg", "1_fake/a.jpg"):
        (tmp_path / name).parent.mkdir()
        data = encoded("JPEG", quality=60 + len(rows))
        (tmp_path / name).write_bytes(data)
        rows.append((name, int(name[0]), hashlib.sha256(data).hexdigest(), name, "train"))
    table = pd.DataFrame(rows, columns=["path", "label", "sha256", "source", "split"])
    facts = pd.DataFrame(read_facts(tmp_path, table, MEGA))
    assert list(facts.columns) == ["path", "label", "split", "source", *FACTS[4:]]
    assert set(FACTS) == set(facts.columns)
    assert facts["path"].tolist() == table["path"].tolist()
    assert facts["quality"].tolist() == [60, 61]
    (tmp_path / "1_fake/a.jpg").write_bytes(encoded("JPEG", quality=90))
    with pytest.raises(UserError, match=r"a\.jpg: is not the file that the split read; run `dvc repro split`"):
        list(read_facts(tmp_path, table, MEGA))
    (tmp_path / "1_fake/a.jpg").unlink()
    with pytest.raises(UserError, match=r"a\.jpg: cannot be read"):
        list(read_facts(tmp_path, table, MEGA))


def manifest(*rows):
    """(path, digest, source, split) each."""
    table = pd.DataFrame(rows, columns=["path", "sha256", "source", "split"])
    table["label"] = table["path"].str[0].astype(int)
    return table


FAR = np.random.default_rng(1).integers(0, 2**63, 8, dtype=np.uint64)


def test_planted_copies_and_twins_are_found():
    table = manifest(
        ("0_real/a.jpg", "A", "a", "train"),
        ("0_real/b.jpg", "B", "b", "test"),
        ("0_real/copy.jpg", "A", "a", "train"),  # equal bytes
        ("0_real/near.jpg", "N", "b", "test"),  # 2 bits from b
        ("1_fake/a.jpg", "C", "a", "train"),  # the fake of a: close, but expected
        ("1_fake/b.jpg", "D", "b", "train"),  # the fake of b, on the other side of the split
        ("1_fake/wrong.jpg", "B", "b", "test"),  # b under the other label
    )
    near = FAR[1] ^ np.uint64(0b101)
    hashes = np.array([FAR[0], FAR[1], FAR[0], near, FAR[0] ^ np.uint64(1), FAR[3], FAR[1]], dtype=np.uint64)
    copies = find_copies(table, stems_of(table, FOLDERS), hashes, 4)
    assert copies.exact.tolist() == [[0, 2], [1, 6]]
    assert [1, 3] in copies.near.tolist()
    assert [0, 4] not in copies.near.tolist()
    assert copies.classes.tolist() == [[0, 4], [1, 5]]
    assert copies.splits.tolist() == [[1, 5], [3, 5], [6, 5]]
    assert copies.counts == {
        "exact_duplicates": 2,
        "exact_duplicates_across_classes": 1,
        "near_duplicates": 3,  # near with b and with wrong; copy with the fake of a
        "photos": 2,
        "photos_in_both_classes": 2,
        "photos_in_several_splits": 1,
        "test_images_with_twin_in_train": 3,
        "test_images_with_twin_in_val": 0,
    }
    listed = pair_table(table, copies, hashes)
    assert listed["kind"].value_counts().to_dict() == {"exact": 2, "near": len(copies.near), "splits": 3, "classes": 2}
    assert listed.loc[listed["other"] == "0_real/near.jpg", "bits"].tolist() == [2]


def test_a_set_without_copies_has_none():
    table = manifest(
        *((f"{c}_{n}/{k}.jpg", f"{c}{k}", f"{c}{k}", "train") for c, n in enumerate(("real", "fake")) for k in "ab")
    )
    copies = find_copies(table, stems_of(table, FOLDERS), FAR[:4], 4)
    assert not any(len(pairs) for pairs in (copies.exact, copies.near, copies.classes, copies.splits))
    assert pair_table(table, copies, FAR[:4]).empty
    assert [v for k, v in copies.counts.items() if k != "photos"] == [0] * 7


def test_many_copies_are_counted_all_and_listed_up_to_a_bound(monkeypatch):
    monkeypatch.setattr(audit, "MOST_PAIRS", 5)
    table = manifest(*((f"0_real/{k}.jpg", str(k), "one", "train") for k in range(30)))
    copies = find_copies(table, stems_of(table, FOLDERS), np.repeat(FAR[:1], 30), 4)
    assert len(copies.near) == 5
    assert copies.counts["near_duplicates"] == 30 * 29 // 2


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(0, 3), st.integers(0, 40)), min_size=1, max_size=16
    ),
    st.integers(0, 6),
)
@settings(max_examples=60, deadline=None)
def test_the_number_of_near_duplicates_is_that_of_brute_force(rows, distance):
    """Rows of label, name, bytes and hash; equal bytes have equal hashes."""
    table = manifest(
        *((f"{FOLDERS[c]}/{k}/{stem}.jpg", str(data), "s", "train") for k, (c, stem, data, _) in enumerate(rows))
    )
    table["path"] = [f"{FOLDERS[c]}/{stem}.{k}" for k, (c, stem, _, _) in enumerate(rows)]
    by_bytes = {data: value for _, _, data, value in rows}
    hashes = np.array([by_bytes[data] for _, _, data, _ in rows], dtype=np.uint64)
    wanted = 0
    for one, other in itertools.combinations(range(len(rows)), 2):
        (c, stem, data, _), (c2, stem2, data2, _) = rows[one], rows[other]
        close = int(hashes[one] ^ hashes[other]).bit_count() <= distance
        wanted += close and data != data2 and not (stem == stem2 and c != c2)
    assert find_copies(table, stems_of(table, FOLDERS), hashes, distance).counts["near_duplicates"] == wanted
