"""Parquet of anybody's, read within bounds: what a file takes on disk says little of what it takes in memory.

A dictionary holds a text once however many rows have it, and equal numbers are counted. So sizes are read in the
footer first, and texts as places in their dictionaries, which are measured before each row has its own copy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

# Bytes: of a row, of a row group's pages, of all numbers in its lists, and of a table that is read whole.
_MOST_ROW = 2**24
_MOST_PAGES = 2**30
_MOST_LISTED = 2**29
_MOST_TABLE = 2**32
# Bytes of a batch as it is read, and rows of which Python's own values are held.
_BATCH = 2**27
_ROWS = 1024
# Bytes of a number, or of the place of a text.
_WIDTH = 8


def bounded_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file, values by column; of all but a row group's texts, a small part is held at a time.

    Raises:
        ValueError: A row has 16 MiB or more, or a row group too much to be held.
        OSError, pa.ArrowException: The file is damaged.
    """
    footer = pq.read_metadata(path)
    schema = footer.schema.to_arrow_schema()
    for group in range(footer.num_row_groups):
        _check_group(footer, group)
    for batch in _batches(path, footer, _texts(footer)):
        for part in _parts(batch):
            yield from _plain(part, schema).to_pylist()


def check_size(source: Path | IO[bytes], columns: Collection[str] | None = None) -> None:
    """Checks that a table may be read whole: its values have 4 GiB at most.

    Args:
        source: The file.
        columns: Those that will be read; all by default.

    Raises:
        ValueError: It is larger.
        OSError, pa.ArrowException: It is damaged.
    """
    footer = pq.read_metadata(source)
    texts = _texts(footer, columns)
    size = longest = 0
    for group in range(footer.num_row_groups):
        for chunk, width in _chunks(footer, group, columns):
            size += chunk.num_values * width
            # As if each text were as long as all of its pages.
            longest += chunk.num_values * chunk.total_uncompressed_size if chunk.path_in_schema in texts else 0
    if size + longest <= _MOST_TABLE:
        return
    batches = _batches(source, footer, texts, texts)
    while size <= _MOST_TABLE and (batch := next(batches, None)) is not None:
        size += int(_sizes(batch.to_struct_array()).sum())
    if size > _MOST_TABLE:
        raise ValueError(f"its values have more than {_MOST_TABLE >> 30} GiB, the most that is read whole")


def _texts(footer: pq.FileMetaData, columns: Collection[str] | None = None) -> list[str]:
    schema = [footer.schema.column(index) for index in range(len(footer.schema))]
    return [
        column.path for column in schema if column.physical_type == "BYTE_ARRAY" and _is_asked(column.path, columns)
    ]


def _chunks(
    footer: pq.FileMetaData, group: int, columns: Collection[str] | None = None
) -> Iterator[tuple[pq.ColumnChunkMetaData, int]]:
    """A row group's columns, each with the bytes of one of its values, or of a text's place."""
    for index in range(footer.num_columns):
        chunk, column = footer.row_group(group).column(index), footer.schema.column(index)
        if _is_asked(chunk.path_in_schema, columns):
            yield chunk, column.length if column.physical_type == "FIXED_LEN_BYTE_ARRAY" else _WIDTH


def _is_asked(path: str, columns: Collection[str] | None) -> bool:
    return columns is None or path.partition(".")[0] in columns


def _check_group(footer: pq.FileMetaData, group: int) -> None:
    pages = listed = 0
    for index, (chunk, width) in enumerate(_chunks(footer, group)):
        pages += chunk.total_uncompressed_size
        # One row may have all the values of a column of lists.
        listed += chunk.num_values * width if footer.schema.column(index).max_repetition_level else 0
    if pages > _MOST_PAGES or listed > _MOST_LISTED:
        raise ValueError(
            f"row group {group} has {pages >> 20} MiB of pages and {listed >> 20} MiB of numbers in lists; at most "
            f"{_MOST_PAGES >> 20} and {_MOST_LISTED >> 20} are read: write smaller row groups"
        )


def _batches(
    source: Path | IO[bytes], footer: pq.FileMetaData, texts: list[str], columns: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """A file's batches, in which texts are places in dictionaries."""
    with pq.ParquetFile(source, metadata=footer, read_dictionary=texts) as file:
        # A batch cannot have the dictionaries of two row groups.
        for group in range(footer.num_row_groups):
            yield from file.iter_batches(_batch_rows(footer, group), [group], columns=columns)


def _batch_rows(footer: pq.FileMetaData, group: int) -> int:
    # Each batch has all the texts of its row group up to its end, so there should be few.
    chunks = list(_chunks(footer, group))
    pages, width = sum(chunk.total_uncompressed_size for chunk, _ in chunks), sum(width for _, width in chunks)
    rows: int = min(_BATCH // max(width, 1), _BATCH * footer.row_group(group).num_rows // max(pages, 1))
    return max(rows, 1)


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    ends = np.cumsum(_sizes(batch.to_struct_array()))
    start = before = 0
    while start < len(batch):
        stop = min(int(np.searchsorted(ends, before + _MOST_ROW)), start + _ROWS)
        if stop == start:
            raise ValueError(f"has {ends[start] - before} bytes; rows have less than {_MOST_ROW}")
        yield batch.slice(start, stop - start)
        start, before = stop, int(ends[stop - 1])


def _plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch without dictionaries, whose rows are had in a third of the time."""
    try:
        return batch.cast(schema)
    except pa.ArrowNotImplementedError:
        # Views of texts and lists cannot be made of them.
        return batch


def _sizes(values: pa.Array) -> NDArray[np.int64]:
    """Bytes of each of N values, shape [N], with texts as long as they are."""
    if pa.types.is_dictionary(values.type):
        lengths = pc.binary_length(values.dictionary).take(values.indices)
        return np.asarray(lengths.fill_null(0).to_numpy(zero_copy_only=False), np.int64)
    if pa.types.is_struct(values.type):
        return sum(map(_sizes, values.flatten()), start=np.zeros(len(values), np.int64))
    if pa.types.is_nested(values.type):
        inner = [values.keys, values.items] if pa.types.is_map(values.type) else [values.values]
        starts, ends = _spans(values)
        totals = np.concatenate([[0], np.cumsum(sum(map(_sizes, inner)))])
        return np.asarray(totals[ends] - totals[starts], np.int64)
    return np.full(len(values), -(-values.nbytes // max(len(values), 1)))


def _spans(values: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each of N lists begins and ends among all of their values, shape [N] each."""
    if pa.types.is_fixed_size_list(values.type):
        starts = (np.arange(len(values)) + values.offset) * values.type.list_size
        return starts, starts + values.type.list_size
    offsets = values.offsets.to_numpy()
    if pa.types.is_list_view(values.type) or pa.types.is_large_list_view(values.type):
        return offsets, offsets + values.sizes.to_numpy()
    return offsets[:-1], offsets[1:]
