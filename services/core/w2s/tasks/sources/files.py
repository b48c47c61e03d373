"""Rows of Parquet, JSONL and CSV files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import fsspec
import pyarrow as pa

from w2s.artifacts.parquet import bounded_rows
from w2s.errors import DataLoss, InvalidArgument

# Beside their own errors, the libraries raise these for times out of range, zones unknown and lists too deep.
_DAMAGE = (OSError, EOFError, ValueError, OverflowError, LookupError, RecursionError, csv.Error, pa.ArrowException)
# Characters of a row.
_LONGEST_ROW = 2**24


def file_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file, values by column, without holding them all.

    Args:
        path: `.parquet`; or `.jsonl` or `.csv`, perhaps with `.gz`.

    Raises:
        DataLoss: The file is damaged.
        InvalidArgument: It is of another sort.
    """
    suffixes = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    reader = {".parquet": bounded_rows, ".jsonl": _jsonl, ".csv": _csv}.get(suffixes.removesuffix(".gz"))
    if reader is None or suffixes == ".parquet.gz":
        raise InvalidArgument("task.source", f"{path.name} is no .parquet, .jsonl or .csv")
    number = 0
    try:
        for number, row in enumerate(reader(path), 1):  # noqa: B007
            yield row
    except _DAMAGE as error:
        raise DataLoss(f"{path.name}, row {number + 1}: {error}") from error


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with _text(path) as stream:
        lines = _Lines(stream)
        for line in lines:
            lines.begin_row()
            yield json.loads(line)


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    with _text(path) as stream:
        lines = _Lines(stream)
        # A row may have any number of lines.
        for row in csv.DictReader(lines, strict=True):
            lines.begin_row()
            yield row


class _Lines:
    """The lines of a text, while none of its rows is too long to be held."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.begin_row()

    def begin_row(self) -> None:
        """Counts the lines to come as another row's."""
        self._left = _LONGEST_ROW

    def __iter__(self) -> Iterator[str]:
        while line := self._stream.readline(self._left):
            self._left -= len(line)
            if not self._left:
                raise ValueError(f"has {_LONGEST_ROW} characters or more")
            yield line


def _text(path: Path) -> IO[str]:
    stream: IO[str] = fsspec.open(str(path), "rt", encoding="utf-8", newline="", compression="infer").open()
    return stream
