"""Works an evaluation off chunk by chunk, so that a killed one goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import JsonValue

from w2s.artifacts.workspace import Workspace
from w2s.models.predict import Tick


class Work(Protocol):
    """What is done to rows of a dataset.

    What a chunk gives depends on its rows alone, so that it is the same whichever attempt makes it.
    """

    @property
    def stage(self) -> str:
        """What it is called in a job's progress."""

    @property
    def chunk_rows(self) -> int:
        """Rows that are kept at once, >= 1."""

    def chunk(self, rows: range, tick: Tick) -> pa.Table:
        """What is kept of some rows: a table with one row each.

        Args:
            rows: Which rows, at least one.
            tick: Told (done, total) of the chunk now and then, in any unit; raises to stop the work.
        """
        ...


def work_off(work: Work, rows: int, workspace: Workspace, what: JsonValue, tick: Callable[[int], None]) -> pa.Table:
    """Does what no earlier attempt has done, and gives all of it.

    Args:
        work: What is done.
        rows: Rows of the dataset, >= 1.
        workspace: Where chunks are kept.
        what: All that decides what the work gives; chunks of anything else are not taken for its own.
        tick: Told how many rows are done; raises to stop the work.
    """
    name = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
    tables = []
    for start in range(0, rows, work.chunk_rows):
        chunk = range(start, min(start + work.chunk_rows, rows))
        part = f"{name}-{chunk.start:09d}-{chunk.stop:09d}.parquet"
        content = workspace.read(part)
        if content is None:
            content = _stored(work.chunk(chunk, _within(chunk, tick)))
            workspace.write(part, content)
        tables.append(pq.read_table(pa.BufferReader(content)))
        tick(chunk.stop)
    return pa.concat_tables(tables)


def _within(chunk: range, tick: Callable[[int], None]) -> Tick:
    return lambda done, total: tick(chunk.start + done * len(chunk) // total)


def _stored(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content
