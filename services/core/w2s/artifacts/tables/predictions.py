"""What a model said of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from w2s.artifacts.manifest import ArtifactRef, Manifest
from w2s.artifacts.schemas import PREDICTIONS_SCHEMA
from w2s.artifacts.store import ArtifactStore
from w2s.artifacts.tables.examples import Dataset
from w2s.artifacts.tables.pairs import PairDataset
from w2s.artifacts.tables.reading import list_matrix, read_table, read_verified

_PREDICTIONS = pa.schema(
    [
        ("id", pa.string()),
        ("label", pa.int32()),
        ("logits", pa.list_(pa.float32())),
        ("prediction", pa.int32()),
        ("correct", pa.bool_()),
        ("confidence", pa.float32()),
    ]
)


@dataclass(frozen=True)
class Predictions:
    """Predictions on a dataset.

    Attributes:
        ids: Example ids, length N.
        labels: True classes, shape [N], int32.
        logits: Shape [N, C], float32; log-probabilities where only those are known.
        predictions: Predicted classes, shape [N], int32.
    """

    ref: ArtifactRef
    ids: list[str]
    labels: NDArray[np.int32]
    logits: NDArray[np.float32]
    predictions: NDArray[np.int32]
    manifest: Manifest


def write_predictions(path: Path, dataset: Dataset | PairDataset, logits: NDArray[np.float32]) -> None:
    """Writes predictions into an artifact's folder.

    Args:
        path: The folder.
        dataset: What was predicted, N examples.
        logits: Shape [N, C]; log-probabilities where only those are known.
    """
    prediction = logits.argmax(axis=1).astype(np.int32)
    columns = [
        pa.array(dataset.ids, pa.string()),
        pa.array(dataset.labels, pa.int32()),
        _matrix(logits),
        pa.array(prediction, pa.int32()),
        pa.array(prediction == dataset.labels, pa.bool_()),
        pa.array(softmax(logits).max(axis=1), pa.float32()),
    ]
    pq.write_table(pa.Table.from_arrays(columns, schema=_PREDICTIONS), path / "predictions.parquet")


def read_predictions(store: ArtifactStore, ref: ArtifactRef, field: str = "predictions") -> Predictions:
    """Reads and verifies predictions.

    Raises:
        InvalidArgument: The artifact holds no predictions, or logits of differing numbers of classes.
        NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.read`.
    """
    artifact = read_verified(store, ref, PREDICTIONS_SCHEMA, field)
    table = read_table(artifact, "predictions.parquet", field, _PREDICTIONS)
    return Predictions(
        ref=artifact.ref,
        ids=table["id"].to_pylist(),
        labels=table["label"].to_numpy(),
        logits=list_matrix(table["logits"], field, "classes"),
        predictions=table["prediction"].to_numpy(),
        manifest=artifact.manifest,
    )


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Row-wise softmax, shape [N, C], float32."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)


def _matrix(values: NDArray[np.float32]) -> pa.ListArray:
    rows, columns = values.shape
    offsets = pa.array(np.arange(0, rows * columns + 1, columns), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(np.ravel(values), pa.float32()))
