from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from w2s.artifacts.schemas import COMPLETIONS_SCHEMA, EXAMPLES_SCHEMA, PAIRS_SCHEMA
from w2s.artifacts.tables import (
    read_completions,
    read_dataset,
    read_pairs,
    write_completions,
    write_examples,
    write_pairs,
)

ROWS = {
    "examples": ({"text": "t", "label": 0}, write_examples, read_dataset, EXAMPLES_SCHEMA),
    "pairs": ({"prompt": "p", "first": "f", "second": "s", "label": 1}, write_pairs, read_pairs, PAIRS_SCHEMA),
    "completions": ({"prompt": "p", "completion": "c"}, write_completions, read_completions, COMPLETIONS_SCHEMA),
}


@pytest.fixture
def written(store):
    def write(kind, *slices):
        row, write_rows, read, schema = ROWS[kind]
        rows = [{**row, "id": str(n), **({"slice": name} if name else {})} for n, name in enumerate(slices)]
        with store.write("datasets", "d", data_schema=schema, config={"label_names": ["no", "yes"]}) as draft:
            write_rows(draft.path, rows)
        return read(store, draft.ref), pq.read_schema(store.read(draft.ref.uri).path / f"{kind}.parquet")

    return write


@pytest.mark.parametrize("kind", ROWS)
def test_rows_may_be_in_slices(written, kind):
    dataset, schema = written(kind, "easy", None, "hard")
    assert (dataset.slices, "slice" in schema.names) == (["easy", None, "hard"], True)


@pytest.mark.parametrize("kind", ROWS)
def test_a_dataset_without_slices_has_no_column_of_them(written, kind):
    dataset, schema = written(kind, None, None)
    assert (dataset.slices, "slice" in schema.names) == (None, False)
