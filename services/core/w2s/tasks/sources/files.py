"""Rows of Parquet, JSONL and CSV files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from w2s.errors import DataLoss, InvalidArgument

# Rows that are held at a time, as one batch.
_BATCH = 1024
# Characters of a line.
_LONGEST_LINE = 2**24


def file_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file, values by column, without holding them all.

    Args:
        path: `.parquet`; or `.jsonl` or `.csv`, perhaps with `.gz`.

    Raises:
        DataLoss: The file is damaged.
        InvalidArgument: It is of another sort.
    """
    suffixes = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    reader = {".parquet": _parquet, ".jsonl": _jsonl, ".csv": _csv}.get(suffixes.removesuffix(".gz"))
    if reader is None or suffixes == ".parquet.gz":
        raise InvalidArgument("task.source", f"{path.name} is no .parquet, .jsonl or .csv")
    number = 0
    try:
        for number, row in enumerate(reader(path), 1):  # noqa: B007
            yield row
    except (OSError, EOFError, ValueError, csv.Error, pa.ArrowException) as error:
        raise DataLoss(f"{path.name}, row {number + 1}: {error}") from error


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH):
            yield from batch.to_pylist()


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with _text(path) as lines:
        while line := lines.readline(_LONGEST_LINE):
            if len(line) == _LONGEST_LINE:
                raise ValueError(f"has {_LONGEST_LINE} characters or more")
            yield json.loads(line)


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    with _text(path) as lines:
        yield from csv.DictReader(lines, strict=True)


def _text(path: Path) -> IO[str]:
    stream: IO[str] = fsspec.open(str(path), "rt", encoding="utf-8", newline="", compression="infer").open()
    return stream
