"""Asks the supervisor what teachers say."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import grpc
import grpc.aio
import numpy as np
from numpy.typing import NDArray

from w2s.client.channel import open_channel
from w2s.client.credentials import Metadata, bearer
from w2s.common.v1 import common_pb2 as common
from w2s.errors import FailedPrecondition, Unavailable
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s.supervisor.v1 import supervisor_pb2_grpc
from w2s_evaluator.monitor.window import Version

R = TypeVar("R")

_TIMEOUT_S = 60.0
_OPTIONS = [
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.keepalive_time_ms", 30_000),
    # A supervisor that is back is found soon: we ask again and again ourselves.
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_send_message_length", 16 << 20),
]
# Rows that fail in one of these ways may be labelled another time.
_PASSING = {
    code.value[0]
    for code in (
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
    )
}


class Asked(Protocol):
    """What a teacher is asked about."""

    @property
    def id(self) -> str:
        """Names it."""

    @property
    def text(self) -> str:
        """The first text."""

    @property
    def text_pair(self) -> str:
        """The second text; empty for none."""


@dataclass(frozen=True)
class Said:
    """What a teacher said of one input.

    Attributes:
        version: The teacher; None where it was not even asked.
        probabilities: Shape [C]; None where it has no label.
        problem: Why it has none.
        passing: Whether it may have one another time.
    """

    version: Version | None = None
    probabilities: NDArray[np.float64] | None = None
    problem: str = ""
    passing: bool = False


class Refusal(Unavailable):
    """The supervisor did not answer a call.

    Args:
        code: The name of its status.
        message: What it said.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"the supervisor answered {code}: {message}")
        self.status = code


def _token() -> Metadata:
    try:
        return bearer()
    except FailedPrecondition as error:
        raise Refusal("UNAUTHENTICATED", error.message) from error


class Oracle:
    """A client of the supervisor that neither waits nor tries again by itself.

    Args:
        target: The supervisor's gRPC target.
        observe: Told the seconds of each call for labels.
    """

    def __init__(self, target: str, observe: Callable[[float], None]) -> None:
        self._channel = open_channel(target, _OPTIONS)
        self._observe = observe
        self._classes: dict[Version, tuple[str, ...]] = {}

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.current().close()

    @property
    def _stub(self) -> supervisor_pb2_grpc.SupervisorServiceAsyncStub:
        return supervisor_pb2_grpc.SupervisorServiceStub(self._channel.current())

    async def label(self, rows: Sequence[Asked], teacher: str) -> list[Said]:
        """What a teacher says of inputs, in their order.

        One that the call is refused for is found by halves, so that it fails alone.

        Args:
            rows: From 1 to 256 inputs with distinct ids.
            teacher: Its name; empty for the active one.

        Raises:
            Refusal: There was no answer; all may be asked again.
        """
        try:
            response = await self._ask(rows, teacher)
        except Refusal as refusal:
            if refusal.status != "INVALID_ARGUMENT":
                raise
            if len(rows) == 1:
                return [Said(problem=refusal.message)]
            half = len(rows) // 2
            return [*await self.label(rows[:half], teacher), *await self.label(rows[half:], teacher)]
        version = Version(response.teacher.teacher, response.teacher.revision, response.teacher.digest)
        return [_said(version, label) for label in response.labels]

    async def classes(self, version: Version) -> tuple[str, ...]:
        """The classes of a teacher that has just answered.

        Raises:
            Refusal: There was no answer, or it is another teacher by now.
        """
        if version not in self._classes:
            teacher = await _answer(
                self._stub.GetTeacher(pb.GetTeacherRequest(name=version.teacher), timeout=_TIMEOUT_S, metadata=_token())
            )
            if teacher.version.digest != version.digest:
                raise Refusal("ABORTED", f"{version.teacher} has been registered anew")
            self._classes[version] = tuple(teacher.label_names)
        return self._classes[version]

    async def _ask(self, rows: Sequence[Asked], teacher: str) -> pb.LabelResponse:
        examples = [common.Example(id=row.id, text=row.text, text_pair=row.text_pair) for row in rows]
        request = pb.LabelRequest(examples=examples, teacher=teacher)
        start = time.perf_counter()
        try:
            return await _answer(self._stub.Label(request, timeout=_TIMEOUT_S, metadata=_token()))
        finally:
            self._observe(time.perf_counter() - start)


async def _answer(call: Awaitable[R]) -> R:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise Refusal(error.code().name, error.details() or "") from error


def _said(version: Version, label: pb.SoftLabel) -> Said:
    if label.HasField("error"):
        return Said(version, None, label.error.message, label.error.code in _PASSING)
    return Said(version, np.array(label.probabilities, dtype=np.float64))
