"""Runs evaluations as jobs, without gRPC."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from w2s.artifacts import ArtifactStore
from w2s.artifacts.schemas import CLASSIFIER_SCHEMA, EXAMPLES_SCHEMA, LABELS_SCHEMA, PREDICTIONS_SCHEMA, expect_schema
from w2s.artifacts.tables import Dataset, parent, read_dataset, softmax, write_predictions
from w2s.database import Database
from w2s.jobs import Job, JobManager, JobStore, Progress, Report
from w2s.jobs.threads import Check, run_stoppable
from w2s.metrics import reliability, wilson
from w2s_evaluator.evaluations.metrics import EvaluationMetrics
from w2s_evaluator.evaluations.result import RESULT, Result
from w2s_evaluator.evaluations.sources import Predicted, Sources
from w2s_evaluator.evaluations.spec import EvaluationSpec
from w2s_evaluator.settings import EvaluatorSettings


class Evaluations:
    """Runs evaluations, one at a time."""

    def __init__(
        self, database: Database, store: ArtifactStore, settings: EvaluatorSettings, metrics: EvaluationMetrics
    ) -> None:
        self._store = store
        self._sources = Sources(store, settings)
        self._model = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.jobs = JobManager(
            JobStore(database, "evaluations"),
            self._evaluate,
            slots=1,
            max_queued=settings.max_queued,
            on_end=metrics.ended,
        )

    async def start(self) -> None:
        """Takes evaluations up again."""
        await self.jobs.start()

    async def stop(self) -> None:
        """Puts evaluations away and ends their thread."""
        await self.jobs.stop()
        self._model.shutdown()

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
