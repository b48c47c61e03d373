"""The client's verbs for event loops: each runs in a thread, so that none blocks the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from w2s.client.channel import Endpoints
from w2s.client.client import Client, OnEvent, ignore
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2
from w2s.supervisor.v1 import supervisor_pb2
from w2s.trainer.v1 import trainer_pb2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class AsyncClient:
    """As `Client`, with the same verbs and errors; use as an asynchronous context manager. Callbacks run in threads.

    Args:
        endpoints: Where the services are; None to read the environment when the first call is made.
    """

    def __init__(self, endpoints: Endpoints | None = None) -> None:
        self._client = Client(endpoints)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._client.close)

    async def teachers(self) -> list[supervisor_pb2.Teacher]:
        """As `Client.teachers`."""
        return await asyncio.to_thread(self._client.teachers)

    async def register(self, teacher_id: str, spec: supervisor_pb2.TeacherSpec) -> supervisor_pb2.Teacher:
        """As `Client.register`."""
        return await asyncio.to_thread(self._client.register, teacher_id, spec)

    async def activate(
        self, request: supervisor_pb2.ActivateTeacherRequest, on_event: OnEvent = ignore
    ) -> supervisor_pb2.Activation:
        """As `Client.activate`."""
        return await asyncio.to_thread(self._client.activate, request, on_event)

    async def roll_back(self, on_event: OnEvent = ignore) -> supervisor_pb2.Activation:
        """As `Client.roll_back`."""
        return await asyncio.to_thread(self._client.roll_back, on_event)

    async def label(
        self,
        examples: Sequence[tuple[str, str, str]],
        teacher: str = "",
        tick: Callable[[int, int], None] = lambda done, total: None,
    ) -> tuple[NDArray[np.float32], common.TeacherVersion]:
        """As `Client.label`."""
        return await asyncio.to_thread(self._client.label, examples, teacher, tick)

    async def compare(
        self, pairs: Iterable[supervisor_pb2.CompletionPair], teacher: str = ""
    ) -> supervisor_pb2.CompareResponse:
        """As `Client.compare`."""
        return await asyncio.to_thread(self._client.compare, pairs, teacher)

    async def generate(self, request: supervisor_pb2.GenerateRequest) -> AsyncIterator[supervisor_pb2.GenerateResponse]:
        """As `Client.generate`."""
        parts = await asyncio.to_thread(self._client.generate, request)
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            yield part

    async def submit(self, run: trainer_pb2.Run, request_id: str = "", validate_only: bool = False) -> trainer_pb2.Run:
        """As `Client.submit`."""
        return await asyncio.to_thread(self._client.submit, run, request_id, validate_only)

    async def run(self, name: str) -> trainer_pb2.Run:
        """As `Client.run`."""
        return await asyncio.to_thread(self._client.run, name)

    async def runs(self, states: Sequence[common.JobState.ValueType] = ()) -> list[trainer_pb2.Run]:
        """As `Client.runs`."""
        return await asyncio.to_thread(self._client.runs, states)

    async def watch_run(self, name: str, on_event: OnEvent = ignore) -> trainer_pb2.Run:
        """As `Client.watch_run`."""
        return await asyncio.to_thread(self._client.watch_run, name, on_event)

    async def cancel_run(self, name: str) -> trainer_pb2.Run:
        """As `Client.cancel_run`."""
        return await asyncio.to_thread(self._client.cancel_run, name)

    async def evaluate(
        self, spec: evaluator_pb2.EvaluationSpec, request_id: str = "", on_event: OnEvent = ignore
    ) -> evaluator_pb2.Evaluation:
        """As `Client.evaluate`."""
        return await asyncio.to_thread(self._client.evaluate, spec, request_id, on_event)

    async def evaluation(self, name: str) -> evaluator_pb2.Evaluation:
        """As `Client.evaluation`."""
        return await asyncio.to_thread(self._client.evaluation, name)

    async def pgr(
        self, weak: Sequence[str], student: Sequence[str], ceiling: Sequence[str], metric: str = ""
    ) -> evaluator_pb2.Comparison:
        """As `Client.pgr`."""
        return await asyncio.to_thread(self._client.pgr, weak, student, ceiling, metric)

    async def deception(
        self, weak: str, strong: str, student: str, no_conflict: str = "", threshold: float = 0.0
    ) -> evaluator_pb2.DeceptionAssessment:
        """As `Client.deception`."""
        return await asyncio.to_thread(self._client.deception, weak, strong, student, no_conflict, threshold)
