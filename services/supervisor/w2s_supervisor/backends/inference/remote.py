"""A model on a server of the protocol, whichever transport it is asked through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from w2s.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
    W2SError,
)

# Of what a server says, as much is passed on.
_MAX_WORDS = 300
_LONGEST_RETRY_AFTER_S = 3600.0
# What a server's google.rpc.Code means to those who ask the teacher.
_KINDS: dict[int, type[W2SError]] = {
    4: DeadlineExceeded,
    5: NotFound,
    7: FailedPrecondition,
    9: FailedPrecondition,
    12: FailedPrecondition,
    14: Unavailable,
    16: FailedPrecondition,
}


@dataclass(frozen=True)
class Tensor:
    """A tensor as metadata describes it.

    Attributes:
        name: Its name.
        datatype: Such as BYTES or FP32.
        shape: Its dimensions; -1 for any size.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Metadata:
    """What a server says about a model.

    Attributes:
        name: Its name there.
        versions: Those that there are; servers without versions have none.
        platform: What runs it.
        inputs: What it takes; not every server says.
        outputs: What it gives; not every server says.
        properties: Whatever else.
    """

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    properties: Mapping[str, str]


@dataclass(frozen=True)
class Output:
    """An output of one answer.

    Attributes:
        values: In the shape that the server gave them.
        version: The version that answered; empty where the server does not say.
    """

    values: NDArray[np.float64]
    version: str


class Remote(Protocol):
    """The model.

    Every method raises Unavailable, DeadlineExceeded, ResourceExhausted, InvalidArgument, NotFound,
    FailedPrecondition or Internal, as the server answers, and takes `timeout_s` seconds at most.
    """

    async def is_ready(self, timeout_s: float) -> bool:
        """Whether it answers now."""

    async def metadata(self, timeout_s: float) -> Metadata:
        """What the server says about it."""

    async def infer(self, inputs: Mapping[str, Sequence[str]], output: str, timeout_s: float) -> Output:
        """One output for texts, each input of shape [N]."""

    async def close(self) -> None:
        """Ends the connection."""


def error_of(code: int, words: str, where: str, token: str, retry_after_s: float | None = None) -> W2SError:
    """What a server's error means here.

    Args:
        code: The google.rpc.Code.
        words: What the server says.
        where: The model and the server's address.
        token: What the request showed, which no message may quote: some servers send back what they were sent.
        retry_after_s: When it says that a retry may succeed.
    """
    if token:
        words = words.replace(token, "(the token)")
    message = f"{where}: {words[:_MAX_WORDS]}"
    # gRPC's word for a request that its server does not read; a smaller one may pass.
    if code == InvalidArgument.code or (code == ResourceExhausted.code and "larger than max" in words):
        return InvalidArgument("text", message)
    if code == ResourceExhausted.code:
        if retry_after_s is None:
            return ResourceExhausted(message)
        return ResourceExhausted(message, min(max(retry_after_s, 0.0), _LONGEST_RETRY_AFTER_S))
    return _KINDS.get(code, Internal)(message)


def not_the_protocol(where: str, error: Exception) -> FailedPrecondition:
    """An answer that cannot be read."""
    return FailedPrecondition(f"{where}: the answer is not one of the Open Inference Protocol ({error!r:.100})")
