"""The errors that a caller can cause or must handle, each with its google.rpc.Code.

Library code raises these; one gRPC interceptor turns them into statuses. Anything
else is a fault of ours and reaches the caller as INTERNAL with a fixed text.
"""

from __future__ import annotations

from typing import ClassVar


class W2SError(Exception):
    """Base of all expected errors.

    Attributes:
        code: The google.rpc.Code value that a failing call returns.
    """

    code: ClassVar[int] = 2

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidArgument(W2SError):
    """A request or setting is wrong whatever the state of the system.

    Args:
        field: Path of the field in the request, such as `run.spec.training.epochs`.
        problem: What is wrong and what would be right.
    """

    code = 3

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class DeadlineExceeded(W2SError):
    """The time that the caller gave was over before the work was done."""

    code = 4


class NotFound(W2SError):
    """The named resource or artifact does not exist."""

    code = 5


class AlreadyExists(W2SError):
    """The id is taken by something else."""

    code = 6


class ResourceExhausted(W2SError):
    """A queue or quota is full.

    Args:
        message: Which one, and how large it is.
        retry_after_s: Seconds after which a retry may succeed.
    """

    code = 8

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PermissionDenied(W2SError):
    """The caller may not do this; the message says who may."""

    code = 7


class Unauthenticated(W2SError):
    """The caller has not said who it is, or what it said is not known here."""

    code = 16


class FailedPrecondition(W2SError):
    """The system is not in the state the call needs; the message says what to do first."""

    code = 9


class Internal(W2SError):
    """A fault of ours, put in words that are safe to show."""

    code = 13


class DataLoss(W2SError):
    """Stored bytes do not match their recorded digest."""

    code = 15


class Unavailable(W2SError):
    """The service cannot answer now; a retry is right."""

    code = 14


class Unreachable(Unavailable):
    """Nothing answers at a service's address."""


class Cancelled(W2SError):
    """The work was cancelled on request."""

    code = 1
