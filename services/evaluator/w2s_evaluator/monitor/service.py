"""The monitor, without gRPC."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from w2s.artifacts import ArtifactStore
from w2s.database import Database
from w2s.errors import FailedPrecondition
from w2s_evaluator.monitor.intake import Intake
from w2s_evaluator.monitor.labelling import Labeller
from w2s_evaluator.monitor.metrics import MonitorMetrics
from w2s_evaluator.monitor.observation import current_seconds
from w2s_evaluator.monitor.oracle import Oracle
from w2s_evaluator.monitor.reports import Report, report_of
from w2s_evaluator.monitor.spec import StudentSpec
from w2s_evaluator.monitor.storing import forget_old, labelled_of, store_truths
from w2s_evaluator.monitor.students import Students
from w2s_evaluator.monitor.tables import ObservationRow
from w2s_evaluator.monitor.watched import Student, Watched
from w2s_evaluator.settings import EvaluatorSettings

log = logging.getLogger(__name__)

_SWEEP_S = 30.0


class Monitor:
    """Watches students: takes what they answer, has it labelled, and says what that shows.

    Args:
        database: Where its state is.
        store: Where predictions are that students are held against.
        settings: The evaluator's settings.
        metrics: What is exported.

    Attributes:
        students: Which there are.
        intake: Where observations go.
    """

    def __init__(
        self, database: Database, store: ArtifactStore, settings: EvaluatorSettings, metrics: MonitorMetrics
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._target = settings.supervisor_address
        self._oracle: Oracle | None = None
        self._labellers: dict[str, asyncio.Task[None]] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self.students = Students(database, store, settings.max_students, metrics)
        self.intake = Intake(database, self.students)
        metrics.export(lambda: self.students.all)

    async def start(self) -> None:
        """Takes up the students that there are; does not wait for the supervisor."""
        await self.students.load()
        if self._target:
            self._oracle = Oracle(self._target, self._metrics.asked)
        elif self.students.all:
            log.warning("students are watched, and their labels wait for supervisor_address to be set")
        for watched in self.students.all:
            self._begin(watched)
        self.intake.start()
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Ends, once no call is in flight any more."""
        await self.intake.stop()
        tasks = [*self._labellers.values(), *([self._sweeper] if self._sweeper else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._oracle:
            await self._oracle.close()

    async def register(self, id_: str, spec: StudentSpec) -> Student:
        """Adds a student, or finds the same one.

        Raises:
            FailedPrecondition: No supervisor is configured.
            W2SError: As `Students.register`.
        """
        if not self._target:
            raise FailedPrecondition("set supervisor_address (W2S_SUPERVISOR_ADDRESS) to watch students")
        watched, new = await self.students.register(id_, spec)
        if new:
            self._begin(watched)
        return watched.student

    async def unregister(self, id_: str) -> None:
        """Forgets a student, with all that is known of it; NotFound when there is none of that id."""
        await self.students.unregister(id_)
        if task := self._labellers.pop(id_, None):
            task.cancel()

    async def report_outcomes(self, id_: str, truths: dict[str, int]) -> tuple[int, list[str]]:
        """Takes true classes by observation id; the last one of an observation holds.

        Returns:
            How many met an observation of the window, and the ids that did not.

        Raises:
            NotFound: There is no such student.
        """
        watched = self.students.watched(id_)
        since = current_seconds() - watched.student.spec.window.age
        store = partial(store_truths, watched.student.number, truths, since, watched.window.oldest)
        met: Sequence[ObservationRow] = await self._database.run(store)
        watched.window.learn([labelled_of(row) for row in met if not row.waiting])
        known = {row.id for row in met}
        return len(met), [id_ for id_ in truths if id_ not in known]

    async def report(self, id_: str) -> Report:
        """What a student's window says now; NotFound when there is none of that id."""
        return await asyncio.to_thread(report_of, self.students.watched(id_))

    def _begin(self, watched: Watched) -> None:
        if self._oracle:
            labeller = Labeller(watched, self._database, self._oracle, self._metrics.dropped)
            self._labellers[watched.student.id] = asyncio.create_task(labeller.run())

    async def _sweep(self) -> None:
        """Deletes from time to time what has left the windows."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            for watched in self.students.all:
                since = current_seconds() - watched.student.spec.window.age
                forget = partial(forget_old, watched.student.number, since, watched.window.oldest)
                try:
                    await self._database.run(forget)
                except Exception:
                    # The next sweep does it; the database is said to fail by those who need it.
                    log.exception("old observations were not deleted", extra={"student": watched.student.id})
