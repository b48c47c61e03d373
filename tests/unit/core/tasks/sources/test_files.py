from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from w2s.errors import DataLoss, InvalidArgument
from w2s.tasks.sources.files import file_rows

ROWS = [{"q": f"q {i}", "choices": {"text": ["a", "b"]}, "l": i} for i in range(3)]


def test_rows_are_the_same_from_parquet_and_from_lines_packed_or_not(tmp_path):
    lines = "".join(f"{json.dumps(row)}\n" for row in ROWS)
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet", row_group_size=2)
    (tmp_path / "b.jsonl").write_text(lines)
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    assert [list(file_rows(path)) for path in sorted(tmp_path.iterdir())] == [ROWS] * 3


def test_rows_are_read_when_they_are_asked_for(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"q": 1}\nbroken')
    rows = file_rows(tmp_path / "a.jsonl")
    assert next(rows) == {"q": 1}
    with pytest.raises(DataLoss, match="row 2"):
        next(rows)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '"' + "x" * 2**24 + '"'),
        ("a.csv", "x" * 2**24),
        ("a.csv", "q,l\n" + '"\n",' * 2**22),
        ("a.parquet", "x" * 2**24),
    ],
    ids=["line", "header", "row of many lines", "parquet"],
)
def test_a_row_without_end_is_not_held(tmp_path, name, content):
    if name == "a.parquet":
        row = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array([content]))
        pq.write_table(pa.table({"q": row}), tmp_path / name)
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataLoss, match=r"row 1: has 16777216 (characters or more|bytes)"):
        next(file_rows(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", b"PAR1"),
        ("a.jsonl.gz", b"no gzip"),
        ("a.csv", b'q\n"open'),
        ("a.jsonl", b"\xff\xfe"),
        ("a.jsonl", b"[" * 10**6),
    ],
)
def test_a_damaged_file_is_data_loss(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataLoss, match=name):
        list(file_rows(tmp_path / name))


def test_a_time_out_of_range_is_data_loss(tmp_path):
    pq.write_table(pa.table({"at": pa.array([2**60], pa.timestamp("ms"))}), tmp_path / "a.parquet")
    with pytest.raises(DataLoss, match=r"a\.parquet, row 1"):
        list(file_rows(tmp_path / "a.parquet"))


@pytest.mark.parametrize("name", ["a.pkl", "a.py", "a.parquet.gz", "a"])
def test_other_sorts_of_files_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InvalidArgument, match=r"no \.parquet, \.jsonl or \.csv"):
        list(file_rows(tmp_path / name))
