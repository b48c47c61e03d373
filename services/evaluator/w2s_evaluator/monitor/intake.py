"""Takes observations in: each once, stored before it is acknowledged, and never waiting for the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from w2s.database import Database
from w2s.errors import NotFound
from w2s_evaluator.monitor.observation import Acknowledgement, Observation, current_seconds, problem_of
from w2s_evaluator.monitor.storing import Batch, store_batches
from w2s_evaluator.monitor.students import Students
from w2s_evaluator.monitor.watched import Watched

log = logging.getLogger(__name__)

# Observations stored in one transaction, unless one call has more.
_GROUP = 10_000
_HASHES = 2.0**64


@dataclass
class _Offer:
    watched: Watched
    good: list[Observation]
    refused: list[tuple[str, str]]
    done: asyncio.Future[Acknowledgement]


@dataclass
class _Plan:
    """What is to be stored of a student, and what to tell of each offer."""

    batch: Batch
    offers: list[tuple[_Offer, Acknowledgement, set[str]]] = field(default_factory=list)


class Intake:
    """Stores what comes together in one transaction.

    Args:
        database: Where it is stored.
        students: The students.
    """

    def __init__(self, database: Database, students: Students) -> None:
        self._database = database
        self._students = students
        self._offers: deque[_Offer] = deque()
        self._offered = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to store."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends, once nobody offers any more."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def offer(self, student_id: str, observations: Sequence[Observation]) -> Acknowledgement:
        """Takes observations; returns once they are stored.

        Raises:
            NotFound: There is no such student.
        """
        watched, now = self._students.watched(student_id), current_seconds()
        good, refused = [], []
        for observation in observations:
            if problem := problem_of(observation, watched.student.spec, now):
                refused.append((observation.id, problem))
            else:
                good.append(observation)
        done: asyncio.Future[Acknowledgement] = asyncio.get_running_loop().create_future()
        self._offers.append(_Offer(watched, good, refused, done))
        self._offered.set()
        return await done

    async def _run(self) -> None:
        while True:
            await self._offered.wait()
            self._offered.clear()
            while self._offers:
                await self._store(self._group())

    def _group(self) -> list[_Offer]:
        group = [self._offers.popleft()]
        size = len(group[0].good)
        while self._offers and (size := size + len(self._offers[0].good)) <= _GROUP:
            group.append(self._offers.popleft())
        return group

    async def _store(self, group: list[_Offer]) -> None:
        """Stores a group and tells each caller; memory changes only once the database has."""
        now = current_seconds()
        by_student: dict[int, list[_Offer]] = {}
        for offer in group:
            by_student.setdefault(offer.watched.student.number, []).append(offer)
        plans = {number: _plan(offers, now) for number, offers in by_student.items()}
        try:
            stored = await self._database.run(partial(store_batches, [plan.batch for plan in plans.values()]))
        except Exception as error:
            # Whatever it is, the callers have to be told, and those who come next served.
            for offer in group:
                _tell(offer, error)
            return
        for number, plan in plans.items():
            self._settle(plan, stored.get(number), now)

    def _settle(self, plan: _Plan, known: set[str] | None, now: float) -> None:
        """Tells the offers of one student.

        Args:
            plan: What was stored.
            known: Ids that the database had already; None where the student has left.
        """
        watched = plan.offers[0][0].watched
        if known is None:
            for offer, _, _ in plan.offers:
                _tell(offer, NotFound(f"there is no {watched.student.name}"))
            return
        plan.batch.apply(known, now)
        for offer, said, sampled in plan.offers:
            again = len(sampled & known)
            answer = Acknowledgement(
                said.accepted - again, said.duplicates + again, said.sampled - again, said.shed, said.refused
            )
            _tell(offer, answer)


def _plan(offers: list[_Offer], now: float) -> _Plan:
    """Decides which observations of one student are new, and which of them are to be labelled."""
    watched = offers[0].watched
    batch = Batch(watched, now)
    plan, room, group = _Plan(batch), watched.room, set[int]()
    rate = watched.student.spec.sampling_rate
    for offer in offers:
        new = _new(offer, watched, group)
        for hash_, observation in new:
            batch.count(observation, hash_)
        # Where there is no room for all, their ids decide: it must not matter where in a call one stands.
        wanted = sorted((found for found in new if found[0] < rate * _HASHES), key=lambda found: found[0])
        sampled = [observation for _, observation in wanted[: room - len(batch.sampled)]]
        batch.sampled += sampled
        duplicates, shed = len(offer.good) - len(new), len(wanted) - len(sampled)
        said = Acknowledgement(len(new), duplicates, len(sampled), shed, offer.refused)
        batch.counts.accepted += len(new)
        batch.counts.duplicates += duplicates
        batch.counts.shed += shed
        batch.counts.refused += len(offer.refused)
        plan.offers.append((offer, said, {observation.id for observation in sampled}))
    return plan


def _new(offer: _Offer, watched: Watched, group: set[int]) -> list[tuple[int, Observation]]:
    """The observations of an offer that were not seen before, with their ids' hashes, which join the group's."""
    hashes = [observation.hash for observation in offer.good]
    known = watched.seen.known(np.array(hashes, dtype=np.uint64)).tolist()
    new = []
    for hash_, old, observation in zip(hashes, known, offer.good, strict=True):
        if not old and hash_ not in group:
            group.add(hash_)
            new.append((hash_, observation))
    return new


def _tell(offer: _Offer, answer: Acknowledgement | Exception) -> None:
    if offer.done.done():
        # Its caller has gone; what it brought is stored.
        return
    if isinstance(answer, Exception):
        offer.done.set_exception(answer)
    else:
        offer.done.set_result(answer)
