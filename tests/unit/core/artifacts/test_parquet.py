"""What a few bytes of Parquet stand for is known before it is held: each file here is a few KiB on disk."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from w2s.artifacts import parquet
from w2s.artifacts.parquet import bounded_rows, check_size

MIB = 2**20


def repeated(value, kind, times):
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), pa.array([value], kind))


def lists(values, rows=1):
    length = len(values) // rows
    return pa.ListArray.from_arrays(pa.array(range(0, len(values) + 1, length), pa.int32()), values)


def mapped(values, rows):
    """Maps of equally many values, by keys of one letter."""
    keys = repeated("k", pa.string(), len(values))
    return pa.MapArray.from_arrays(pa.array(range(0, len(values) + 1, len(values) // rows), pa.int32()), keys, values)


@pytest.fixture
def written(tmp_path):
    def write(column, **options):
        pq.write_table(pa.table({"id": ["x"] * len(column), "c": column}), tmp_path / "a.parquet", **options)
        return tmp_path / "a.parquet"

    return write


def test_rows_of_any_kind_come_back_as_they_are(tmp_path, monkeypatch):
    rows = [
        {
            "text": None if i % 7 == 0 else f"text {i} " * 50,
            "answers": [f"answer {i} {j}" * 10 for j in range(i % 3)],
            "two": ["x" * i, None],
            "meta": {"labels": ["a", None], "at": {"tag": "z", "n": i}},
            "pairs": [("k", str(i))],
            "raw": b"\0" * (i % 3),
            "vector": [0.5, i],
        }
        for i in range(3000)
    ]
    schema = pa.Table.from_pylist(rows).schema
    schema = schema.set(schema.get_field_index("pairs"), pa.field("pairs", pa.map_(pa.string(), pa.string())))
    schema = schema.set(schema.get_field_index("two"), pa.field("two", pa.list_(pa.string(), 2)))
    # Two row groups, with more texts than their dictionaries hold.
    options = {"row_group_size": 1500, "dictionary_pagesize_limit": 4096}
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "a.parquet", **options)
    check_size(tmp_path / "a.parquet")
    monkeypatch.setattr(parquet, "_MOST_TABLE", 2**20)
    with pytest.raises(ValueError, match="more than 0 GiB"):
        check_size(tmp_path / "a.parquet")
    assert list(bounded_rows(tmp_path / "a.parquet")) == rows


@pytest.mark.parametrize("kind", [pa.string_view(), pa.list_view(pa.string()), pa.large_string()], ids=str)
def test_other_layouts_of_texts_are_read_too(written, kind):
    values = [["a"], None, []] if pa.types.is_list_view(kind) else ["a", None, ""]
    rows = list(bounded_rows(written(pa.array(values, kind))))
    assert [row["c"] for row in rows] == values


@pytest.mark.parametrize(
    ("make", "limits", "problem"),
    [
        (lambda: repeated("x" * 16 * MIB, pa.string(), 2000), {}, "has 16777217 bytes; rows have less than 16777216"),
        (lambda: lists(repeated("x" * MIB, pa.string(), 4000), 4), {}, "has 1048576001 bytes"),
        (
            lambda: pa.StructArray.from_arrays([repeated("x" * 16 * MIB, pa.string(), 9)], ["t"]),
            {},
            "has 16777217 bytes",
        ),
        (
            lambda: pa.FixedSizeListArray.from_arrays(repeated("x" * 8 * MIB, pa.string(), 8), 2),
            {},
            "has 16777217 bytes",
        ),
        (lambda: mapped(repeated("x" * 8 * MIB, pa.string(), 8), 4), {}, "has 16777219 bytes"),
        (lambda: repeated(b"x" * 16 * MIB, pa.binary(16 * MIB), 9), {}, "has 16777217 bytes"),
        (lambda: lists(pa.array([0] * MIB, pa.int64())), {"_MOST_LISTED": 4 * MIB}, "8 MiB of numbers in lists"),
        (lambda: pa.array(["x" * MIB] * 30), {"_MOST_PAGES": 20 * MIB}, "30 MiB of pages"),
    ],
    ids=[
        "a text",
        "texts of a list",
        "a text of a struct",
        "texts of a list of two",
        "texts of a map",
        "a fixed size",
        "numbers of a list",
        "pages",
    ],
)
def test_a_row_that_cannot_be_held_is_refused_before_it_is(written, monkeypatch, make, limits, problem):
    for name, limit in limits.items():
        monkeypatch.setattr(parquet, name, limit)
    path = written(make(), compression="zstd", use_dictionary="pages" not in problem)
    assert path.stat().st_size < 64 * 1024
    before = pa.total_allocated_bytes()
    with pytest.raises(ValueError, match=problem):
        next(bounded_rows(path))
    assert pa.total_allocated_bytes() - before < 64 * MIB


def test_large_rows_are_held_a_few_at_a_time(written):
    path = written(repeated("x" * MIB, pa.string(), 100))
    for number, row in enumerate(bounded_rows(path), 1):  # noqa: B007
        assert len(row["c"]) == MIB
    assert number == 100


@pytest.mark.parametrize(("times", "fits"), [(4095, True), (4097, False)])
def test_a_table_that_is_read_whole_has_4_gib_at_most(written, times, fits):
    path = written(repeated("x" * MIB, pa.string(), times))
    check_size(path, ["id"])
    if fits:
        check_size(path)
        return
    with pytest.raises(ValueError, match="more than 4 GiB"):
        check_size(path)


def test_numbers_of_a_table_that_is_read_whole_are_counted_too(written, monkeypatch):
    path = written(lists(pa.array([0.5] * 2**17, pa.float32())))
    monkeypatch.setattr(parquet, "_MOST_TABLE", 2**20 + 1000)
    check_size(path)
    monkeypatch.setattr(parquet, "_MOST_TABLE", 2**20 - 1)
    with pytest.raises(ValueError, match="the most that is read whole"):
        check_size(path)
