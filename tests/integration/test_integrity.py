"""What is measured cannot change what it is measured by: held-out data and predictions are verified on each read."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from w2s.artifacts.tables import Dataset, write_predictions
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2 as pb


def in_favour(path):
    """Rewrites a table of examples so that the first class is always right."""
    table = pq.read_table(path)
    at = table.column_names.index("label")
    pq.write_table(table.set_column(at, "label", pa.array(np.zeros(len(table), dtype=np.int32))), path)


@pytest.fixture
def create(evaluator, weak):
    def call(dataset):
        spec = pb.EvaluationSpec(model=weak.result.model, dataset=dataset)
        return evaluator.CreateEvaluation(evaluation=pb.Evaluation(spec=spec))

    return call


def test_a_held_out_dataset_that_somebody_changed_is_not_evaluated_on(create, copied, data, store, refused):
    folder, uri = copied("datasets", data["test"].uri.rpartition("/")[2])
    in_favour(folder / "examples.parquet")
    with refused("DATA_LOSS", words="do not match its manifest"):
        create(common.DatasetRef(uri=uri))
    # With a manifest that says so too, it is another dataset than the one that was asked for.
    with store.write("datasets", "in-favour", **like(store, data["test"].uri)) as draft:
        (draft.path / "examples.parquet").write_bytes((folder / "examples.parquet").read_bytes())
    with refused("FAILED_PRECONDITION", words=data["test"].digest):
        create(common.DatasetRef(uri=draft.ref.uri, digest=data["test"].digest))


def like(store, uri):
    manifest = store.manifest(uri)
    return {"data_schema": manifest.data_schema, "config": manifest.config}


def test_predictions_that_somebody_changed_give_no_figures(evaluator, store, copied, refused):
    dataset = Dataset(None, ["0", "1"], ["0", "1"], None, np.array([0, 1], dtype=np.int32), ["no", "yes"], None)
    with store.write("predictions", "honest", data_schema="w2s.predictions/1", config={}) as draft:
        write_predictions(draft.path, dataset, np.array([[1.0, 0.0], [1.0, 0.0]], dtype=np.float32))
    honest = common.PredictionsRef(uri=draft.ref.uri, digest=draft.ref.digest)
    assert evaluator.Compare(weak=[honest], student=[honest], ceiling=[honest]).student.value == 0.5
    folder, uri = copied("predictions", "honest")
    (path,) = folder.glob("*.parquet")
    in_favour(path)
    changed = common.PredictionsRef(uri=uri, digest=draft.ref.digest)
    with refused("DATA_LOSS", words="do not match its manifest"):
        evaluator.Compare(weak=[honest], student=[changed], ceiling=[honest])
