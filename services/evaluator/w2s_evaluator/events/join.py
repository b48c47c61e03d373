"""Joins requests and responses to observations of the students that they are of."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import Protocol

from sqlalchemy.exc import IntegrityError

from w2s.database import Database
from w2s.errors import InvalidArgument, NotFound, ResourceExhausted, Unavailable, W2SError
from w2s_evaluator.events.metrics import EventMetrics
from w2s_evaluator.events.parse import Half, Side
from w2s_evaluator.events.payloads import probabilities_of, texts_of
from w2s_evaluator.events.tables import Key, count_halves, expire_halves, store_halves, take_halves, whole_inferences
from w2s_evaluator.monitor.observation import Acknowledgement, Observation

log = logging.getLogger(__name__)

# How long a half waits for the other, and a repetition of either is known as one.
_PATIENCE = timedelta(minutes=10)
_SWEEP_S = 30.0
# Events stored in one transaction, and those that may wait for theirs.
_BATCH = 256
_MAX_WAITING = 4096
# Halves in the database without their other half; more are shed.
_MAX_UNJOINED = 100_000


class Outcome(StrEnum):
    """What became of an event."""

    JOINED = "joined"
    WAITING = "waiting"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


class Watched(Protocol):
    """Which student an InferenceService serves."""

    def by_inference_service(self, service: str) -> str | None:
        """The student's id; None where it is nobody's."""

    def label_names(self, student_id: str) -> Sequence[str]:
        """The student's classes."""


class Taker(Protocol):
    """Where observations go."""

    async def offer(self, student_id: str, observations: Sequence[Observation]) -> Acknowledgement:
        """As `Intake.offer`."""


_Waiting = tuple[Half, asyncio.Future[Outcome]]


class Joiner:
    """Takes events in any order, more than once, and gives each inference to the monitor once.

    An event is acknowledged once it is stored. Those that come together are stored together.

    Args:
        database: Where they wait for each other.
        watched: The students.
        taker: Where their observations go.
        metrics: What is counted.
    """

    def __init__(self, database: Database, watched: Watched, taker: Taker, metrics: EventMetrics) -> None:
        self._database = database
        self._watched = watched
        self._taker = taker
        self._metrics = metrics
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(_MAX_WAITING)
        self._unjoined = 0
        # Between what is stored and what is given on.
        self._giving = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to take events."""
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._sweep())]

    async def stop(self) -> None:
        """Ends, once no event is being handled any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def take(self, half: Half) -> Outcome:
        """Takes one event; returns once it is stored, and its inference given on if it is whole.

        Raises:
            InvalidArgument: Its body is none of the protocols', or has other classes.
            NotFound: No student is of that InferenceService.
            ResourceExhausted: Events come faster than they can be stored, or are never joined.
            Unavailable: The database failed; sent again, the event is taken.
        """
        self._check(half)
        if self._queue.full() or self._unjoined >= _MAX_UNJOINED:
            raise ResourceExhausted("more events come than can be taken", retry_after_s=1)
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((half, future))
        return await future

    def _check(self, half: Half) -> None:
        student_id = self._student(half)
        if half.side is Side.REQUEST:
            texts_of(half.body)
        else:
            probabilities_of(half.body, self._watched.label_names(student_id))

    def _student(self, half: Half) -> str:
        student_id = self._watched.by_inference_service(half.service)
        if student_id is None:
            raise NotFound(f"no student is of the InferenceService {half.service}: register one with RegisterStudent")
        return student_id

    async def _run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                async with self._giving:
                    await self._store(batch)
            except Exception as error:
                log.error("events were not stored", exc_info=error)
                _fail(batch, Unavailable("the events could not be stored; send them again"))

    async def _store(self, batch: list[_Waiting]) -> None:
        halves = [half for half, _ in batch]
        store = partial(store_halves, halves=halves)
        try:
            known, pairs = await self._database.run(store)
        except IntegrityError:
            # Another server has stored one of them meanwhile; now it is seen.
            known, pairs = await self._database.run(store)
        outcomes = await self._give(pairs)
        repeated = {id(half) for half in known}
        for half, future in batch:
            waiting = Outcome.DUPLICATE if id(half) in repeated else Outcome.WAITING
            if not future.done():
                future.set_result(outcomes.get((half.service, half.id), waiting))

    async def _give(self, pairs: dict[Key, dict[Side, Half]]) -> dict[Key, Outcome]:
        """Gives whole inferences to the monitor, a student's together."""
        outcomes: dict[Key, Outcome] = {}
        observations: dict[str, list[Observation]] = defaultdict(list)
        for key, pair in pairs.items():
            try:
                student_id = self._student(pair[Side.REQUEST])
                observations[student_id] += _observations(pair, self._watched.label_names(student_id))
                outcomes[key] = Outcome.JOINED
            except W2SError as error:
                # The halves were good each by itself, and do not fit; or the student has left meanwhile.
                log.warning("an inference was refused", extra={"inference": "/".join(key), "reason": error.message})
                outcomes[key] = Outcome.REFUSED
        for student_id, found in observations.items():
            with contextlib.suppress(NotFound):
                await self._taker.offer(student_id, found)
        if pairs:
            await self._database.run(partial(take_halves, keys=list(pairs)))
        return outcomes

    async def _sweep(self) -> None:
        while True:
            try:
                # Those whose server ended between the two steps, or that came to two servers at once.
                async with self._giving:
                    left = await self._give(await self._database.run(whole_inferences))
                for outcome in left.values():
                    self._metrics.handled(outcome)
                self._metrics.expired(await self._database.run(partial(expire_halves, age=_PATIENCE)))
                self._unjoined = await self._database.run(count_halves)
                self._metrics.unjoined(self._unjoined)
            except Exception as error:
                log.error("events were not swept", exc_info=error)
            await asyncio.sleep(_SWEEP_S)


def _observations(pair: dict[Side, Half], label_names: Sequence[str]) -> list[Observation]:
    request, response = pair[Side.REQUEST], pair[Side.RESPONSE]
    texts = texts_of(request.body)
    probabilities = probabilities_of(response.body, label_names)
    if len(texts) != len(probabilities):
        raise InvalidArgument("response", f"has {len(probabilities)} answers to {len(texts)} texts")
    ids = [request.id] if len(texts) == 1 else [f"{request.id}/{index}" for index in range(len(texts))]
    return [
        Observation(id_, text, text_pair, answer, response.time)
        for id_, (text, text_pair), answer in zip(ids, texts, probabilities, strict=True)
    ]


def _fail(batch: list[_Waiting], error: W2SError) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
