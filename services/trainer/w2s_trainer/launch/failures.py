"""How a run can fail."""

from __future__ import annotations

from w2s.errors import W2SError


class RunFailed(W2SError):
    """A run that ended by an error; carries the code of the run's process."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]
