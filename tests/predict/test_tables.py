"""Rows as text: what a program reads back is what was written, whatever the names hold."""

import csv
import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakeface.core.errors import readable
from fakeface.predict.tables import FORMATS, FORMULA, _no_formula

COLUMNS = ["path", "score", "verdict", "problem", "note"]
NAMES = st.binary(min_size=1, max_size=30).map(lambda b: b.replace(b"\0", b"_")).map(os.fsdecode)
JUDGED = st.tuples(
    NAMES, st.floats(0, 1), st.sampled_from(["real", "fake", "unsure"]), st.just(""), st.text(max_size=9)
)
UNREAD = st.tuples(
    NAMES, st.none(), st.just(""), st.text(st.characters(codec="utf-8"), min_size=1, max_size=9), st.just("")
)
ROWS = st.lists(st.one_of(JUDGED, UNREAD), max_size=5).map(
    lambda rows: [dict(zip(COLUMNS, row, strict=True)) for row in rows]
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def written(format, rows, out=None):
    out = io.StringIO(newline="") if out is None else out
    FORMATS[format](iter(rows), out, COLUMNS, 20)
    return out.getvalue()


def as_read(row):
    score = None if row["score"] is None else round(row["score"], 9)
    return row | {"path": readable(row["path"]), "score": score}


@given(ROWS)
def test_json_gives_the_rows_back(rows):
    assert json.loads(written("json", rows)) == [as_read(row) for row in rows]


@given(ROWS)
def test_json_lines_give_the_rows_back_an_object_a_line(rows):
    text = written("jsonl", rows)
    assert text.isascii()
    assert [json.loads(line) for line in text.split("\n")[:-1]] == [as_read(row) for row in rows]


@given(ROWS)
def test_csv_gives_the_rows_back(rows):
    text = written("csv", rows)
    assert text.encode()
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    assert not [value for row in read for value in row.values() if value.startswith(FORMULA)]
    wanted = [{key: _no_formula(key, value) for key, value in as_read(row).items()} for row in rows]
    assert [row | {"score": float(row["score"]) if row["score"] else None} for row in read] == wanted


@given(ROWS)
def test_a_table_has_a_line_a_row_and_nothing_that_a_terminal_obeys(rows):
    lines = written("table", rows).split("\n")
    assert len(lines) == len(rows) + 2
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("name", ["=1+1.jpg", "+1.jpg", "-1.jpg", "@SUM(A1).jpg", "\t=1.jpg", "＝1.jpg"])
def test_a_name_that_a_spreadsheet_would_run_stays_a_path_and_is_no_formula(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    row = {"path": name, "score": None, "verdict": "", "problem": "=bad", "note": ""}
    (read,) = csv.DictReader(io.StringIO(written("csv", [row]), newline=""))
    assert not read["path"].startswith(FORMULA)
    assert os.path.samefile(read["path"], name)
    assert read["problem"] == "'=bad"
    assert json.loads(written("json", [row]))[0] == row


@pytest.mark.parametrize("format", ["csv", "table", "json", "jsonl"])
def test_no_format_sends_a_terminal_commands(format):
    row = {"path": "a\x1b[31m\nb\u202e\udcff.jpg", "score": 0.25, "verdict": "real", "problem": "", "note": ""}
    text = written(format, [row], Terminal())
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_table_reads_like_this():
    rows = [
        {"path": "face.jpg", "score": 0.98765, "verdict": "fake", "problem": "", "note": ""},
        {
            "path": "a rather long name.jpg",
            "score": 0.5,
            "verdict": "unsure",
            "problem": "",
            "note": "near the threshold",
        },
        {"path": "x", "score": None, "verdict": "", "problem": "is empty", "note": ""},
    ]
    assert written("table", rows).split("\n") == [
        "path                  score   verdict  note",
        "face.jpg              0.9877  fake",
        "a rather long name.jpg  0.5000  unsure   near the threshold",
        "x" + 38 * " " + "is empty",
        "",
    ]


def test_a_narrow_terminal_gets_a_block_a_row(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    note = "1200 x 800 pixels: cropped to the middle square, reduced to 256; as JPEG 75: real"
    rows = [{"path": "face.jpg", "score": 0.98765, "verdict": "unsure", "problem": "", "note": note}]
    rows += [{"path": "x", "score": None, "verdict": "", "problem": "is empty", "note": ""}]
    text = written("table", rows, Terminal()).split("\n")
    assert text[:2] == ["face.jpg", "  unsure 0.9877"]
    assert " ".join(part.strip() for part in text[2:-3]) == note
    assert text[-3:] == ["x", "  is empty", ""]
    assert max(map(len, text)) <= 40
