"""Parquet of anybody's, read within bounds: what a file takes on disk says little of what it takes in memory.

A dictionary holds a text once however many rows have it, and equal numbers are counted. So sizes are read in the
footer first, and texts as places in their dictionaries, which are measured before each row has its own copy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

# Rows that are held at a time, as one batch.
_BATCH = 1024
# Bytes: of a row's values, of a row group's pages, of the numbers that are held with a batch, of a whole table.
_MOST_ROW = 2**24
_MOST_PAGES = 2**31
_MOST_NUMBERS = 2**29
_MOST_TABLE = 2**32
# Bytes of a number, or of the place of a text.
_WIDTH = 8


def bounded_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file, values by column, without holding them all.

    Raises:
        ValueError: A row has 16 MiB or more, or a row group more than can be held for a batch.
        OSError, pa.ArrowException: The file is damaged.
    """
    footer = pq.read_metadata(path)
    with pq.ParquetFile(path, metadata=footer, read_dictionary=_texts(footer)) as file:
        for group in range(footer.num_row_groups):
            _check_group(footer, group)
            for batch in file.iter_batches(_BATCH, [group]):
                for part in _within_bounds(batch):
                    yield from part.cast(footer.schema.to_arrow_schema()).to_pylist()


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
    numbers = most = 0
    for group in range(footer.num_row_groups):
        for chunk, width in _chunks(footer, group, columns):
            numbers += chunk.num_values * width
            # As if each text were as long as all that the dictionary holds.
            most += chunk.num_values * chunk.total_uncompressed_size if chunk.path_in_schema in texts else 0
    if numbers + most > _MOST_TABLE:
        _measure(source, texts, numbers)


def _measure(source: Path | IO[bytes], texts: list[str], size: int) -> None:
    with pq.ParquetFile(source, read_dictionary=texts) as file:
        # A batch cannot have the dictionaries of two row groups.
        for group in range(file.num_row_groups) if size <= _MOST_TABLE else ():
            for batch in file.iter_batches(_BATCH, [group], columns=texts):
                size += _size(batch.to_struct_array())
                if size > _MOST_TABLE:
                    break
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
    pages = numbers = 0
    for index, (chunk, width) in enumerate(_chunks(footer, group)):
        pages += chunk.total_uncompressed_size
        # One row may have all the values of a column of lists.
        lists = footer.schema.column(index).max_repetition_level > 0
        numbers += width * (chunk.num_values if lists else min(chunk.num_values, _BATCH))
    if pages > _MOST_PAGES or numbers > _MOST_NUMBERS:
        raise ValueError(
            f"row group {group} has {pages >> 20} MiB of pages and {numbers >> 20} MiB of numbers to be held; at most "
            f"{_MOST_PAGES >> 20} and {_MOST_NUMBERS >> 20} are read: write smaller row groups"
        )


def _within_bounds(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if (size := _size(batch.to_struct_array())) < _MOST_ROW:
        yield batch
    elif len(batch) == 1:
        raise ValueError(f"has {size} bytes; rows have less than {_MOST_ROW}")
    else:
        half = len(batch) // 2
        yield from _within_bounds(batch.slice(0, half))
        yield from _within_bounds(batch.slice(half))


def _size(values: pa.Array) -> int:
    """Bytes of values, each text as often as it occurs."""
    if pa.types.is_dictionary(values.type):
        lengths = pc.cast(pc.binary_length(values.dictionary), pa.int64())
        return int(pc.sum(lengths.take(values.indices)).as_py() or 0)
    if pa.types.is_struct(values.type):
        return sum(map(_size, values.flatten()))
    if pa.types.is_map(values.type):
        first, *_, end = values.offsets.to_pylist()
        return sum(_size(part.slice(first, end - first)) for part in (values.keys, values.items))
    return _size(values.flatten()) if pa.types.is_nested(values.type) else int(values.nbytes)
