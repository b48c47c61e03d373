"""The slice that a row may be in: a part of a dataset that is also measured by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

SLICE = pa.field("slice", pa.string())


def sliced_table(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table, without the column of slices where no row is in one.

    So a dataset without slices is the same bytes as before there were any.
    """
    table = pa.Table.from_pylist(list(rows), schema=schema)
    return table if slices_of(table) is not None else table.drop_columns(SLICE.name)


def slices_of(table: pa.Table) -> list[str | None] | None:
    """The slice of each row, None for none; None where no row is in one."""
    column = table[SLICE.name]
    return None if column.null_count == len(column) else column.to_pylist()
