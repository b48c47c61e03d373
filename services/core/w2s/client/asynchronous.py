"""The client's verbs for event loops: each runs in a thread of its own, and blocks neither the loop nor another."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from w2s.client.channel import Endpoints
from w2s.client.client import Client, OnEvent, ignore
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2, evaluator_pb2_grpc
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc
from w2s.trainer.v1 import trainer_pb2, trainer_pb2_grpc

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

P = ParamSpec("P")
T = TypeVar("T")


class AsyncClient:
    """As `Client`, with the same verbs and errors; use as an asynchronous context manager. Callbacks run in threads.

    A verb that is cancelled here goes on in its thread until it ends or the client is closed.

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
        self.close()

    def close(self) -> None:
        """As `Client.close`; watches that are still awaited fail. It waits for nothing, and so is no coroutine."""
        self._client.close()

    @property
    def endpoints(self) -> Endpoints:
        """As `Client.endpoints`."""
        return self._client.endpoints

    async def supervisor(self) -> supervisor_pb2_grpc.SupervisorServiceStub:
        """As `Client.supervisor`: calls of a stub block, so make them in threads."""
        return await _in_thread(getattr, self._client, "supervisor")

    async def trainer(self) -> trainer_pb2_grpc.TrainerServiceStub:
        """As `Client.trainer`; see `supervisor`."""
        return await _in_thread(getattr, self._client, "trainer")

    async def evaluator(self) -> evaluator_pb2_grpc.EvaluatorServiceStub:
        """As `Client.evaluator`; see `supervisor`."""
        return await _in_thread(getattr, self._client, "evaluator")

    async def teachers(self) -> list[supervisor_pb2.Teacher]:
        """As `Client.teachers`."""
        return await _in_thread(self._client.teachers)

    async def register(self, teacher_id: str, spec: supervisor_pb2.TeacherSpec) -> supervisor_pb2.Teacher:
        """As `Client.register`."""
        return await _in_thread(self._client.register, teacher_id, spec)

    async def activate(
        self, request: supervisor_pb2.ActivateTeacherRequest, on_event: OnEvent = ignore
    ) -> supervisor_pb2.Activation:
        """As `Client.activate`."""
        return await _in_thread(self._client.activate, request, on_event)

    async def roll_back(self, on_event: OnEvent = ignore) -> supervisor_pb2.Activation:
        """As `Client.roll_back`."""
        return await _in_thread(self._client.roll_back, on_event)

    async def label(
        self,
        examples: Sequence[tuple[str, str, str]],
        teacher: str = "",
        tick: Callable[[int, int], None] = lambda done, total: None,
    ) -> tuple[NDArray[np.float32], common.TeacherVersion]:
        """As `Client.label`."""
        return await _in_thread(self._client.label, examples, teacher, tick)

    async def compare(
        self, pairs: Iterable[supervisor_pb2.CompletionPair], teacher: str = ""
    ) -> supervisor_pb2.CompareResponse:
        """As `Client.compare`."""
        return await _in_thread(self._client.compare, pairs, teacher)

    async def generate(self, request: supervisor_pb2.GenerateRequest) -> AsyncIterator[supervisor_pb2.GenerateResponse]:
        """As `Client.generate`."""
        parts = await _in_thread(self._client.generate, request)
        while (part := await _in_thread(next, parts, None)) is not None:
            yield part

    async def submit(self, run: trainer_pb2.Run, request_id: str = "", validate_only: bool = False) -> trainer_pb2.Run:
        """As `Client.submit`."""
        return await _in_thread(self._client.submit, run, request_id, validate_only)

    async def run(self, name: str) -> trainer_pb2.Run:
        """As `Client.run`."""
        return await _in_thread(self._client.run, name)

    async def runs(self, states: Sequence[common.JobState.ValueType] = ()) -> list[trainer_pb2.Run]:
        """As `Client.runs`."""
        return await _in_thread(self._client.runs, states)

    async def watch_run(self, name: str, on_event: OnEvent = ignore) -> trainer_pb2.Run:
        """As `Client.watch_run`."""
        return await _in_thread(self._client.watch_run, name, on_event)

    async def cancel_run(self, name: str) -> trainer_pb2.Run:
        """As `Client.cancel_run`."""
        return await _in_thread(self._client.cancel_run, name)

    async def resume_run(self, name: str) -> trainer_pb2.Run:
        """As `Client.resume_run`."""
        return await _in_thread(self._client.resume_run, name)

    async def evaluate(
        self, spec: evaluator_pb2.EvaluationSpec, request_id: str = "", on_event: OnEvent = ignore
    ) -> evaluator_pb2.Evaluation:
        """As `Client.evaluate`."""
        return await _in_thread(self._client.evaluate, spec, request_id, on_event)

    async def evaluation(self, name: str) -> evaluator_pb2.Evaluation:
        """As `Client.evaluation`."""
        return await _in_thread(self._client.evaluation, name)

    async def predictions(self, name: str) -> common.PredictionsRef:
        """As `Client.predictions`."""
        return await _in_thread(self._client.predictions, name)

    async def pgr(
        self, weak: Sequence[str], student: Sequence[str], ceiling: Sequence[str], metric: str = ""
    ) -> evaluator_pb2.Comparison:
        """As `Client.pgr`."""
        return await _in_thread(self._client.pgr, weak, student, ceiling, metric)

    async def deception(
        self, weak: str, strong: str, student: str, no_conflict: str = "", threshold: float = 0.0
    ) -> evaluator_pb2.DeceptionAssessment:
        """As `Client.deception`."""
        return await _in_thread(self._client.deception, weak, strong, student, no_conflict, threshold)


async def _in_thread(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What a function gives that blocks.

    A pool that calls share runs out of threads once enough of them watch: a watch holds its own for hours.
    """
    thread = ThreadPoolExecutor(1)
    call = functools.partial(contextvars.copy_context().run, function, *arguments, **named)
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, call)
    finally:
        thread.shutdown(wait=False)
