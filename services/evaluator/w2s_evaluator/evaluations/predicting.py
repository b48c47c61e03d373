"""Predicts classes, or which of two answers is better, and measures that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.tables import Dataset, PairDataset, read_predictions, softmax, write_predictions
from w2s.errors import InvalidArgument
from w2s.jobs.threads import Check
from w2s.metrics import Estimate, classification_metrics, reliability, wilson
from w2s.models.predict import Tick
from w2s_evaluator.evaluations.datasets import FIELD
from w2s_evaluator.evaluations.result import Result
from w2s_evaluator.evaluations.slices import by_slice
from w2s_evaluator.evaluations.spec import EvaluationSpec

# Logits of some rows, shape [n, C]; log-probabilities where only those are known.
Judge = Callable[[range, Tick], NDArray[np.floating]]


@dataclass(frozen=True)
class Predicting:
    """Logits of examples or pairs, chunk by chunk; see `Work`.

    Attributes:
        dataset: What is judged.
        judge: Judges some of its rows.
        stage: What that is called.
        chunk_rows: Rows judged at once.
    """

    dataset: Dataset | PairDataset
    judge: Judge
    stage: str
    chunk_rows: int

    def chunk(self, rows: range, tick: Tick) -> pa.Table:
        """The logits of some rows.

        Raises:
            InvalidArgument: One is not finite.
        """
        logits = np.asarray(self.judge(rows, tick), dtype=np.float32)
        wrong = ~np.isfinite(logits).all(axis=1)
        if wrong.any():
            first = self.dataset.ids[rows[int(wrong.argmax())]]
            raise InvalidArgument(FIELD, f"is given numbers that are not finite, such as for {first}")
        return pa.table({"logits": list(logits)})


def write_logits(folder: Path, dataset: Dataset | PairDataset, table: pa.Table) -> None:
    """Writes the logits of all rows, chunk after chunk, as predictions into an artifact's folder."""
    logits = table["logits"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    write_predictions(folder, dataset, logits)


def prediction_result(
    store: ArtifactStore, ref: ArtifactRef, dataset: Dataset | PairDataset, spec: EvaluationSpec, check: Check
) -> Result:
    """What predictions show.

    Args:
        store: Where they are.
        ref: The predictions.
        dataset: What they are of.
        spec: How they are measured.
        check: Raises to stop the work.
    """
    found = read_predictions(store, ref)
    probabilities = softmax(found.logits)
    correct = found.predictions == found.labels

    def figures(rows: NDArray[np.intp]) -> dict[str, Estimate]:
        check()
        return classification_metrics(
            probabilities[rows], found.labels[rows], replicates=spec.replicates, seed=spec.bootstrap_seed
        )

    return Result(
        ref,
        wilson(int(correct.sum()), len(correct)),
        reliability(probabilities.max(axis=1), correct, probabilities.shape[1]),
        by_slice(dataset.slices, len(dataset), figures),
    )
