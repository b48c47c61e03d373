"""What is stored of a dataset or of labels, as far as checks need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from w2s.artifacts import ArtifactRef, ArtifactStore, Manifest
from w2s.artifacts.parquet import check_size
from w2s.errors import DataLoss, InvalidArgument


@dataclass(frozen=True)
class Stored:
    """An artifact with one table, of which nothing has been read but the manifest.

    Attributes:
        uri: Its address.
        manifest: What it says of itself.
        field: The request field that names it.
    """

    uri: str
    manifest: Manifest
    field: str

    @property
    def schema(self) -> str:
        """What it holds."""
        return self.manifest.data_schema

    @cached_property
    def footer(self) -> Any:
        """The table's Parquet metadata."""
        return self._open(pq.read_metadata)

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns, and no byte of the others.

        Raises:
            DataLoss: They cannot be read, or are too large.
        """

        def read(stream: Any) -> Any:
            check_size(stream, names)
            return pq.read_table(stream, columns=list(names))

        return self._open(read)

    def first(self, name: str) -> Any:
        """The first value of a column that is no null, read up to it; None when there is none."""

        def read(stream: Any) -> Any:
            check_size(stream, [name])
            for batch in pq.ParquetFile(stream).iter_batches(1024, columns=[name]):
                values = batch.column(0).drop_null()
                if len(values):
                    return values[0].as_py()
            return None

        return self._open(read)

    def nulls(self, name: str) -> int:
        """How many rows have no value in a column; from the metadata where it says so.

        Raises:
            DataLoss: There is no such column.
        """
        groups = [self.footer.row_group(index) for index in range(self.footer.num_row_groups)]
        counts = [count for group in groups for count in _null_counts(group, name)]
        return sum(counts) if len(counts) == len(groups) else int(self.columns([name])[name].null_count)

    def _open(self, read: Any) -> Any:
        # `w2s.examples/1` is in `examples.parquet`, and so are the others in theirs.
        name = f"{self.schema.removeprefix('w2s.').partition('/')[0]}.parquet"
        try:
            with fsspec.open(f"{self.uri}/{name}", "rb") as stream:
                return read(stream)
        except (OSError, ValueError, LookupError, pa.ArrowException) as error:
            raise DataLoss(f"{name} of {self.uri} cannot be read: {str(error).splitlines()[0]}") from error


def find(store: ArtifactStore, ref: ArtifactRef, schemas: Sequence[str], field: str, purpose: str) -> Stored:
    """An artifact that holds what a field is for.

    Args:
        store: Where it is.
        ref: Which one.
        schemas: What it may hold.
        field: The request field that names it.
        purpose: What it is to be used by, for the message.

    Raises:
        InvalidArgument: The address is wrong, or it holds something else; `<field>.uri` is named.
        NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.manifest`.
    """
    manifest = store.manifest(ref.uri, ref.digest, f"{field}.uri")
    if manifest.data_schema not in schemas:
        raise InvalidArgument(
            f"{field}.uri", f"holds {manifest.data_schema}, and {purpose} needs {' or '.join(schemas)}"
        )
    return Stored(ref.uri, manifest, field)


def _null_counts(group: Any, name: str) -> list[int]:
    """How many nulls a row group has in a column; empty when that is not said."""
    columns = [group.column(index) for index in range(group.num_columns)]
    said = [column.statistics for column in columns if column.path_in_schema == name and column.is_stats_set]
    return [statistics.null_count for statistics in said if statistics.has_null_count]
