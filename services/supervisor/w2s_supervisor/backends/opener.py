"""What turns a spec into a backend; each kind of backend has one."""

from __future__ import annotations

from typing import Protocol, TypeVar

from w2s_supervisor.backends.protocol import Backend, Identity

S_contra = TypeVar("S_contra", contravariant=True)


class Opener(Protocol[S_contra]):
    """Knows one kind of backend."""

    async def identify(self, spec: S_contra, field: str) -> Identity:
        """Says who a teacher would be, without loading it.

        Args:
            spec: The backend's settings.
            field: The request field to name in an error, such as `spec.model`.

        Raises:
            InvalidArgument: What the spec names is not allowed, or not what the spec says.
            NotFound, FailedPrecondition, DataLoss: As the artifact store and the servers say.
            Unavailable, DeadlineExceeded: A server does not answer.
        """

    async def open(self, spec: S_contra, identity: Identity) -> Backend:
        """Makes the teacher ready to answer, known to be who it was when it was registered.

        Raises:
            FailedPrecondition, DataLoss: It is another now, or damaged.
            Unavailable, DeadlineExceeded: A server does not answer.
        """
