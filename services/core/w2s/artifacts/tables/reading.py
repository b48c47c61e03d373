"""Reads a table's artifact, once it is known to hold that table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from w2s.artifacts.manifest import ArtifactRef
from w2s.artifacts.parquet import check_size
from w2s.artifacts.schemas import check_schema
from w2s.artifacts.store import Artifact, ArtifactStore
from w2s.errors import InvalidArgument


def read_verified(store: ArtifactStore, ref: ArtifactRef, schema: str, field: str) -> Artifact:
    """Fetches and verifies an artifact of a schema.

    Raises:
        InvalidArgument: The artifact holds something else; `<field>.uri` is named.
        NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.read`.
    """
    artifact = store.read(ref.uri, ref.digest, f"{field}.uri")
    check_schema(artifact.manifest, schema, field)
    return artifact


def read_table(artifact: Artifact, name: str, field: str, schema: pa.Schema | None = None) -> pa.Table:
    """A table of an artifact that was read and verified, whole.

    Args:
        artifact: The artifact.
        name: The table's file in it.
        field: As in `read_verified`.
        schema: The columns to read, null where there are none; those that there are by default.

    Raises:
        InvalidArgument: It has no such table, or one that is too large; `<field>.uri` is named.
    """
    with readable(name, field):
        check_size(artifact.path / name)
        return pq.read_table(artifact.path / name, schema=schema)


@contextmanager
def readable(name: str, field: str) -> Iterator[None]:
    """Turns what reading a table raises into the error of whoever named its artifact, as `read_table` does."""
    try:
        yield
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:
        raise InvalidArgument(f"{field}.uri", f"holds no {name} that can be read: {error}") from error


def list_matrix(column: pa.ChunkedArray, field: str, what: str) -> NDArray[np.float32]:
    """A column of N lists as a matrix, shape [N, C]; [0, 0] where there are no rows.

    Args:
        column: Lists of float32.
        field: The request's field, for messages.
        what: What a list holds, in words.

    Raises:
        InvalidArgument: The lists are of differing lengths.
    """
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) > 1:
        raise InvalidArgument(field, f"has rows of {' and of '.join(map(str, lengths))} {what}")
    return np.reshape(pc.list_flatten(column).to_numpy(), (len(column), lengths[0] if lengths else 0))
