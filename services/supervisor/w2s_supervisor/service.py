"""What the supervisor does, without gRPC: teachers, swaps and labels."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2s.artifacts import ArtifactRef, ArtifactStore, Parent
from w2s.artifacts.schemas import EXAMPLES_SCHEMA, LABELS_SCHEMA, MODEL_SCHEMA, expect_schema
from w2s.artifacts.tables import Dataset, parent, read_dataset, write_labels
from w2s.artifacts.uris import check_key
from w2s.database import Database
from w2s.errors import FailedPrecondition, InvalidArgument, W2SError
from w2s.jobs import Job, JobManager, JobStore, Progress, Report
from w2s_supervisor.metrics import SupervisorMetrics
from w2s_supervisor.pool import Loaded, TeacherPool
from w2s_supervisor.settings import SupervisorSettings
from w2s_supervisor.teachers import Teacher, TeacherRegistry

log = logging.getLogger(__name__)

# Rows a labelling job takes to the model at once: calls get their turn in between.
_CHUNK = 256


class Supervisor:
    """Holds teachers, swaps the active one live, and labels."""

    def __init__(
        self, database: Database, store: ArtifactStore, settings: SupervisorSettings, metrics: SupervisorMetrics
    ) -> None:
        self._store = store
        self._settings = settings
        self.teachers = TeacherRegistry(database)
        self.pool = TeacherPool(store, settings, metrics)
        # One at a time: two swaps at once would race for the same reference.
        self.activations = JobManager(
            JobStore(database, "activations"), self._activate, slots=1, on_end=metrics.job_ended
        )
        self.labeling = JobManager(
            JobStore(database, "labelingJobs"),
            self._label_dataset,
            slots=settings.label_slots,
            on_end=metrics.job_ended,
        )

    async def start(self) -> None:
        """Brings the active teacher back, then takes jobs up again."""
        id_ = await self.teachers.active_id()
        if id_ is not None:
            try:
                self.pool.activate(await self.pool.get(await self.teachers.get(id_)))
            except W2SError as error:
                # Serving without it lets an operator activate another.
                log.error("the active teacher cannot be loaded", extra={"teacher": id_, "reason": error.message})
        await self.activations.start()
        await self.labeling.start()

    async def stop(self) -> None:
        """Puts jobs away and ends the model threads."""
        await self.activations.stop()
        await self.labeling.stop()
        await asyncio.to_thread(self.pool.close)

    async def register(self, id_: str, model: ArtifactRef) -> Teacher:
        """Registers a model artifact as a teacher.

        Raises:
            InvalidArgument: The id is malformed, or the artifact is no classifier.
            AlreadyExists: The id belongs to a teacher with another model.
            NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.manifest`.
        """
        check_key(id_, "teacher_id")
        manifest = await asyncio.to_thread(expect_schema, self._store, model, MODEL_SCHEMA, "model")
        return await self.teachers.register(
            id_, model.uri, manifest.digest, manifest.key, list(manifest.config["label_names"])
        )

    async def pick(self, teacher_id: str, required_digest: str) -> Teacher:
        """The teacher that a call means: the named one, or the active one.

        Raises:
            NotFound: There is none of that name.
            FailedPrecondition: None is active, or its digest is another than required.
        """
        if teacher_id:
            teacher = await self.teachers.get(teacher_id)
        elif self.pool.active:
            teacher = self.pool.active.teacher
        else:
            raise FailedPrecondition("no teacher is active; activate one, or name one in `teacher`")
        if required_digest and teacher.digest != required_digest:
            raise FailedPrecondition(f"{teacher.name} has digest {teacher.digest}, not {required_digest}")
        return teacher

    async def label(self, teacher: Teacher, texts: Sequence[str], pairs: Sequence[str]) -> NDArray[np.float32]:
        """Class probabilities of a few examples, shape [N, C].

        Args:
            teacher: Who answers, from `pick`.
            texts: First texts, length N.
            pairs: Second texts, each empty for a single-text teacher.

        Raises:
            InvalidArgument: There are too many, or a pair is missing.
            ResourceExhausted: Too many calls wait.
        """
        if len(texts) > self._settings.max_examples:
            raise InvalidArgument("examples", f"at most {self._settings.max_examples} a call, got {len(texts)}")
        loaded = await self.pool.get(teacher)
        for index, pair in enumerate(pairs):
            if loaded.needs_pairs and not pair:
                raise InvalidArgument(f"examples[{index}].text_pair", f"is required: {teacher.name} judges pairs")
        return await self.pool.label(loaded, texts, pairs if any(pairs) else None, bounded=True)

    async def check_dataset(self, dataset: ArtifactRef, teacher: Teacher) -> None:
        """Checks that a dataset exists and has the teacher's classes.

        Raises:
            InvalidArgument: It is no dataset, or has other classes.
            NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.manifest`.
        """
        manifest = await asyncio.to_thread(expect_schema, self._store, dataset, EXAMPLES_SCHEMA, "dataset")
        names = manifest.config["label_names"]
        if names != teacher.label_names:
            raise InvalidArgument("dataset.uri", f"has classes {names}, and {teacher.name} {teacher.label_names}")

    async def _activate(self, job: Job, report: Report) -> dict[str, Any]:
        teacher = await self.teachers.get(job.spec["teacher"])
        report(Progress("load", 0, 3))
        loaded = await self.pool.get(teacher)
        report(Progress("warm", 1, 3))
        await self.pool.warm(loaded)
        report(Progress("flip", 2, 3))
        await self.teachers.set_active(teacher.id)
        self.pool.activate(loaded)
        log.info("teacher activated", extra={"teacher": teacher.name, "digest": teacher.digest})
        return {}

    async def _label_dataset(self, job: Job, report: Report) -> dict[str, Any]:
        found = await asyncio.to_thread(self._store.find, "labels", job.id)
        if found is None:
            teacher = await self.teachers.get(job.extra["teacher"])
            dataset = await asyncio.to_thread(
                read_dataset, self._store, ArtifactRef.model_validate(job.spec["dataset"])
            )
            probabilities = await self._label_rows(await self.pool.get(teacher), dataset, report)
            found = await asyncio.to_thread(self._write_labels, job.id, dataset, probabilities, teacher)
        return found.model_dump()

    async def _label_rows(self, loaded: Loaded, dataset: Dataset, report: Report) -> NDArray[np.float32]:
        if loaded.needs_pairs and dataset.pairs is None:
            raise InvalidArgument("dataset", f"has single texts, and {loaded.teacher.name} judges pairs")
        chunks = []
        for start in range(0, len(dataset), _CHUNK):
            rows = slice(start, start + _CHUNK)
            report(Progress("label", start, len(dataset)))
            pairs = dataset.pairs[rows] if dataset.pairs else None
            chunks.append(await self.pool.label(loaded, dataset.texts[rows], pairs, bounded=False))
        report(Progress("label", len(dataset), len(dataset)))
        return np.concatenate(chunks)

    def _write_labels(
        self, key: str, dataset: Dataset, probabilities: NDArray[np.float32], teacher: Teacher
    ) -> ArtifactRef:
        config = {"teacher": dict(zip(("teacher", "revision", "digest"), teacher.version, strict=True))}
        parents = [parent("dataset", dataset), Parent(role="teacher", uri=teacher.uri, digest=teacher.digest)]
        with self._store.write("labels", key, data_schema=LABELS_SCHEMA, config=config, parents=parents) as draft:
            write_labels(draft.path, dataset.ids, probabilities, teacher.version)
        assert draft.ref is not None
        return draft.ref
