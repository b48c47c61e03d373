from __future__ import annotations

import pyarrow as pa
import pytest

from w2s.artifacts.schemas import EXAMPLES_SCHEMA
from w2s.errors import DataLoss, InvalidArgument
from w2s_trainer.admission.stored import find


@pytest.fixture
def stored(inputs):
    def make(table, name="examples.parquet"):
        ref = inputs.table("datasets", "one", EXAMPLES_SCHEMA, name, table)
        return find(inputs.store, ref, (EXAMPLES_SCHEMA,), "dataset", "a test")

    return make


def test_columns_are_read_alone(stored):
    found = stored(pa.table({"id": ["a", "b"], "text": ["x", "y"]}))
    assert found.columns(["id"]).to_pydict() == {"id": ["a", "b"]}
    assert found.footer.num_rows == 2


def test_the_first_value_is_looked_for_past_nulls(stored):
    late = [None] * 3000 + [[0.5, 0.5], [1.0]]
    found = stored(pa.table({"p": pa.array(late, pa.list_(pa.float32())), "none": pa.nulls(3002, pa.string())}))
    assert found.first("p") == [0.5, 0.5]
    assert found.first("none") is None


def test_nulls_are_counted(stored):
    found = stored(pa.table({"text": ["a", "b", "c"], "text_pair": ["x", None, None]}))
    assert (found.nulls("text"), found.nulls("text_pair")) == (0, 2)


def test_a_damaged_table_is_data_loss(stored, tmp_path):
    found = stored(pa.table({"id": ["a"]}))
    path = tmp_path / "artifacts" / "datasets" / "one" / "examples.parquet"
    content = path.read_bytes()
    with pytest.raises(DataLoss, match=r"examples.parquet of .*datasets/one cannot be read"):
        found.nulls("text_pair")
    with pytest.raises(DataLoss, match="cannot be read"):
        found.columns(["id", "text"])
    path.write_bytes(content[:-8] + b"\0" * 8)
    with pytest.raises(DataLoss, match="cannot be read"):
        found.columns(["id"])
    path.unlink()
    with pytest.raises(DataLoss, match="cannot be read"):
        found.columns(["id"])


def test_columns_that_are_too_large_are_not_read(stored):
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), ["x" * 2**20])
    found = stored(pa.table({"id": ["a"] * 5000, "text": text}))
    assert len(found.columns(["id"])) == 5000
    for read in (lambda: found.columns(["text"]), lambda: found.first("text")):
        with pytest.raises(DataLoss, match="more than 4 GiB"):
            read()


def test_another_schema_names_what_is_needed(inputs):
    with pytest.raises(InvalidArgument, match=r"dataset.uri: holds w2s.labels/2, and a test needs w2s.examples/1"):
        find(inputs.store, inputs.labels("labels"), (EXAMPLES_SCHEMA,), "dataset", "a test")
