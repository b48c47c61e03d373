"""What the evaluator does, without gRPC: evaluations and comparisons."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.schemas import CLASSIFIER_SCHEMA, EXAMPLES_SCHEMA, LABELS_SCHEMA, PREDICTIONS_SCHEMA, expect_schema
from w2s.artifacts.tables import Dataset, parent, read_dataset, read_predictions, softmax, write_predictions
from w2s.database import Database
from w2s.errors import InvalidArgument
from w2s.jobs import Job, JobManager, JobStore, Progress, Report
from w2s.jobs.threads import Check, run_stoppable
from w2s.metrics import Agreement, Pgr, Proportion, ReliabilityBin, agreement, pgr, reliability, wilson
from w2s_evaluator.metrics import EvaluatorMetrics
from w2s_evaluator.settings import EvaluatorSettings
from w2s_evaluator.sources import Predicted, Sources
from w2s_evaluator.spec import ComparisonSpec, EvaluationSpec


@dataclass(frozen=True)
class Result:
    """What an evaluation found; stored as JSON."""

    predictions: ArtifactRef
    accuracy: Proportion
    reliability: list[ReliabilityBin]


RESULT: TypeAdapter[Result] = TypeAdapter(Result)


@dataclass(frozen=True)
class Comparison:
    """What a comparison found; accuracies are means over seeds."""

    weak_accuracy: float
    student_accuracy: float
    ceiling_accuracy: float
    pgr: Pgr
    agreement: Agreement
    examples: int


class Evaluator:
    """Evaluates and compares."""

    def __init__(
        self, database: Database, store: ArtifactStore, settings: EvaluatorSettings, metrics: EvaluatorMetrics
    ) -> None:
        self._store = store
        self._sources = Sources(store, settings)
        # Models run in one thread, comparisons in another: a long evaluation delays none.
        self._model = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._numbers = ThreadPoolExecutor(1, thread_name_prefix="compare")
        self._metrics = metrics
        self.evaluations = JobManager(
            JobStore(database, "evaluations"),
            self._evaluate,
            slots=1,
            max_queued=settings.max_queued,
            on_end=metrics.ended,
        )

    async def start(self) -> None:
        """Takes evaluations up again."""
        await self.evaluations.start()

    async def stop(self) -> None:
        """Puts evaluations away and ends the threads."""
        await self.evaluations.stop()
        self._model.shutdown()
        self._numbers.shutdown()

    def check_inputs(self, spec: EvaluationSpec) -> None:
        """Fails now what would fail in the queue.

        Raises:
            InvalidArgument: An address is malformed, or holds something else.
            NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.manifest`.
        """
        expect_schema(self._store, spec.dataset, EXAMPLES_SCHEMA, "evaluation.spec.dataset")
        if spec.model:
            expect_schema(self._store, spec.model, CLASSIFIER_SCHEMA, "evaluation.spec.model")
        if spec.labels:
            expect_schema(self._store, spec.labels, LABELS_SCHEMA, "evaluation.spec.labels")

    async def compare(self, spec: ComparisonSpec) -> Comparison:
        """Compares predictions on the same examples.

        Raises:
            InvalidArgument: An artifact holds no predictions, or on other examples.
            NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.read`.
        """
        comparison = await run_stoppable(self._numbers, lambda check: self._compare(spec, check))
        self._metrics.compared(comparison.pgr)
        return comparison

    async def _evaluate(self, job: Job, report: Report) -> dict[str, Any]:
        spec = EvaluationSpec.model_validate(job.spec)
        result = await run_stoppable(self._model, lambda check: self._run(job.id, spec, report, check))
        return dict(RESULT.dump_python(result, mode="json"))

    def _run(self, key: str, spec: EvaluationSpec, report: Report, check: Check) -> Result:
        report(Progress("load"))
        dataset = read_dataset(self._store, spec.dataset, "evaluation.spec.dataset")
        logits, source = self._predict(spec, dataset, report, check)
        with self._store.write(
            "predictions",
            key,
            data_schema=PREDICTIONS_SCHEMA,
            config=spec.model_dump(mode="json"),
            parents=[parent("dataset", dataset), source],
        ) as draft:
            write_predictions(draft.path, dataset, logits)
        assert draft.ref is not None
        correct = logits.argmax(axis=1) == dataset.labels
        return Result(
            draft.ref,
            wilson(int(correct.sum()), len(dataset)),
            reliability(softmax(logits).max(axis=1), correct, len(dataset.label_names)),
        )

    def _predict(self, spec: EvaluationSpec, dataset: Dataset, report: Report, check: Check) -> Predicted:
        if spec.model:
            return self._sources.from_model(spec.model, dataset, report, check)
        if spec.teacher:
            return self._sources.from_teacher(spec.teacher, dataset, report, check)
        assert spec.labels is not None
        return self._sources.from_labels(spec.labels, dataset)

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
