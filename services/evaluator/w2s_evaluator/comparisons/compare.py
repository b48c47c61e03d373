"""Compares predictions on the same examples."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.tables import read_predictions
from w2s.errors import InvalidArgument
from w2s.jobs.threads import Check, run_stoppable
from w2s.metrics import Agreement, Pgr, agreement, pgr
from w2s_evaluator.comparisons.metrics import ComparisonMetrics
from w2s_evaluator.comparisons.spec import ComparisonSpec


@dataclass(frozen=True)
class Comparison:
    """What a comparison found; accuracies are means over seeds."""

    weak_accuracy: float
    student_accuracy: float
    ceiling_accuracy: float
    pgr: Pgr
    agreement: Agreement
    examples: int


class Comparisons:
    """Compares, in a thread of its own: a long evaluation delays none.

    Args:
        store: Where predictions are.
        metrics: Counts what was compared.
    """

    def __init__(self, store: ArtifactStore, metrics: ComparisonMetrics) -> None:
        self._store = store
        self._metrics = metrics
        self._numbers = ThreadPoolExecutor(1, thread_name_prefix="compare")

    async def stop(self) -> None:
        """Ends the thread."""
        self._numbers.shutdown()

    async def compare(self, spec: ComparisonSpec) -> Comparison:
        """Compares predictions on the same examples.

        Raises:
            InvalidArgument: An artifact holds no predictions, or on other examples.
            NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.read`.
        """
        comparison = await run_stoppable(self._numbers, lambda check: self._compare(spec, check))
        self._metrics.compared(comparison.pgr)
        return comparison

    def _compare(self, spec: ComparisonSpec, check: Check) -> Comparison:
        arms = {
            role: [self._arm(ref, f"{role}[{index}]") for index, ref in enumerate(getattr(spec, role))]
            for role in ("weak", "student", "ceiling")
        }
        first = arms["weak"][0]
        predictions = {}
        for role, members in arms.items():
            for index, member in enumerate(members):
                if member.ids != first.ids or (member.labels != first.labels).any():
                    raise InvalidArgument(f"{role}[{index}]", "has other examples than weak[0]")
            predictions[role] = np.stack([member.predictions for member in members])
        check()
        correct = {role: predicted == first.labels for role, predicted in predictions.items()}
        truth = np.broadcast_to(first.labels, predictions["weak"].shape)
        return Comparison(
            weak_accuracy=_mean(correct["weak"]),
            student_accuracy=_mean(correct["student"]),
            ceiling_accuracy=_mean(correct["ceiling"]),
            pgr=pgr(
                correct["weak"],
                correct["student"],
                correct["ceiling"],
                same_model=all(w.model == c.model for w, c in zip(arms["weak"], arms["ceiling"], strict=True)),
                replicates=spec.replicates,
                seed=spec.seed,
            ),
            agreement=agreement(predictions["student"].ravel(), predictions["weak"].ravel(), truth.ravel()),
            examples=len(first.ids),
        )

    def _arm(self, ref: ArtifactRef, field: str) -> _Arm:
        found = read_predictions(self._store, ref, field)
        model = {p.digest for p in found.manifest.parents if p.role in ("model", "teacher")}
        return _Arm(found.ids, found.labels, found.predictions, model or {found.ref.digest})


@dataclass(frozen=True)
class _Arm:
    ids: list[str]
    labels: NDArray[np.int32]
    predictions: NDArray[np.int32]
    model: set[str]


def _mean(correct: NDArray[np.bool_]) -> float:
    return float(correct.mean())
