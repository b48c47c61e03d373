"""One evaluation at work: on a dataset, or on standard benchmarks in place of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.schemas import ANSWERS_SCHEMA, BENCHMARK_SCHEMA, PREDICTIONS_SCHEMA
from w2s.artifacts.tables import CompletionDataset, write_answers
from w2s.jobs import Job, Progress, Report
from w2s.jobs.threads import Check
from w2s_evaluator import benchmarks
from w2s_evaluator.evaluations.admission import Pinned
from w2s_evaluator.evaluations.answers import answer_result
from w2s_evaluator.evaluations.chunks import work_off
from w2s_evaluator.evaluations.datasets import FIELD, KINDS
from w2s_evaluator.evaluations.predicting import prediction_result, write_logits
from w2s_evaluator.evaluations.result import Metric, Result
from w2s_evaluator.evaluations.sources import Sources
from w2s_evaluator.evaluations.spec import EvaluationSpec
from w2s_evaluator.settings import EvaluatorSettings

_METRICS: TypeAdapter[list[Metric]] = TypeAdapter(list[Metric])


class Run(Protocol):
    """An evaluation at work."""

    @property
    def schema(self) -> str:
        """What its artifact holds."""

    def make(self, report: Report, check: Check) -> Any:
        """Does the work; what it gives is for `write`."""

    def write(self, folder: Path, made: Any) -> None:
        """Writes what was made into an artifact's folder."""

    def result(self, ref: ArtifactRef, check: Check) -> Result:
        """What the artifact shows, whichever attempt has written it."""
        ...


class OnDataset:
    """Predictions or answers on a dataset; see `Run`.

    Args:
        job: The evaluation's job.
        store: Where artifacts are.
        sources: What predicts.
    """

    def __init__(self, job: Job, store: ArtifactStore, sources: Sources) -> None:
        self._job = job
        self._store = store
        self._spec, self._pinned = EvaluationSpec.model_validate(job.spec), Pinned.load(job.extra)
        pinned = self._pinned.dataset
        assert pinned is not None
        ref = ArtifactRef(uri=pinned.uri, digest=pinned.digest)
        self._dataset = KINDS[store.manifest(ref.uri, ref.digest).data_schema].read(store, ref, FIELD)
        self._sources = sources
        self.schema = ANSWERS_SCHEMA if isinstance(self._dataset, CompletionDataset) else PREDICTIONS_SCHEMA

    def make(self, report: Report, check: Check) -> pa.Table:
        """As `Run.make`; goes on from the chunks of attempts before."""
        work, total = self._sources.open(self._spec, self._pinned.source, self._dataset), len(self._dataset)
        told = -1

        def tick(done: int) -> None:
            nonlocal told
            check()
            if done != told:
                told = done
                report(Progress(work.stage, done, total))

        workspace = self._store.workspace("predictions", self._job.id)
        return work_off(work, total, workspace, [self._job.spec, self._job.extra], tick)

    def write(self, folder: Path, made: pa.Table) -> None:
        """As `Run.write`."""
        if isinstance(self._dataset, CompletionDataset):
            write_answers(folder, made)
        else:
            write_logits(folder, self._dataset, made)

    def result(self, ref: ArtifactRef, check: Check) -> Result:
        """As `Run.result`."""
        if isinstance(self._dataset, CompletionDataset):
            return answer_result(self._store, ref, self._dataset, self._spec, check)
        return prediction_result(self._store, ref, self._dataset, self._spec, check)


class OnBenchmarks:
    """Standard benchmarks; see `Run`.

    Args:
        job: The evaluation's job.
        store: Where artifacts are.
        settings: The evaluator's settings.
    """

    schema = BENCHMARK_SCHEMA

    def __init__(self, job: Job, store: ArtifactStore, settings: EvaluatorSettings) -> None:
        spec, source = EvaluationSpec.model_validate(job.spec).benchmarks, Pinned.load(job.extra).source
        assert spec is not None
        self._spec = spec
        self._model = store.read(source.uri, source.digest, "evaluation.spec.model.uri").path
        self._store = store
        self._settings = settings

    def make(self, report: Report, check: Check) -> tuple[list[dict[str, Any]], list[Metric]]:
        """As `Run.make`."""
        asked = self._spec
        rows, metrics = benchmarks.run(
            self._settings, self._model, asked.tasks, asked.limit, asked.shots, report, check
        )
        return rows, metrics

    def write(self, folder: Path, made: tuple[list[dict[str, Any]], list[Metric]]) -> None:
        """As `Run.write`."""
        rows, metrics = made
        pq.write_table(pa.Table.from_pylist(rows), folder / "samples.parquet")
        (folder / "metrics.json").write_bytes(_METRICS.dump_json(metrics, indent=1))

    def result(self, ref: ArtifactRef, check: Check) -> Result:
        """As `Run.result`."""
        artifact = self._store.read(ref.uri, ref.digest)
        return Result(ref, None, [], _METRICS.validate_json((artifact.path / "metrics.json").read_bytes()))
