"""What is read from files that others replace meanwhile: certificates and tokens."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from w2s.errors import InvalidArgument, W2SError

log = logging.getLogger(__name__)

T = TypeVar("T")
# Between two looks at the files: a Secret's new content reaches a pod's volume within a minute anyway.
_LOOK_S = 1.0


class WatchedFile(Generic[T]):
    """A value from files, read again when one of them changes; may be used from several threads.

    Args:
        paths: The files.
        read: Reads the value.
        field: The setting that names them.

    Raises:
        InvalidArgument: One cannot be read, or holds what `read` refuses. Later such changes are
            logged, and the value stays.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], T], field: str) -> None:
        self._paths, self._read, self._field = paths, read, field
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._seen, self._value = self._load()

    def current(self) -> T:
        """The value."""
        with self._lock:
            if time.monotonic() - self._looked > _LOOK_S:
                self._looked = time.monotonic()
                self._look()
            return self._value

    def _look(self) -> None:
        try:
            if self._stamps() != self._seen:
                self._seen, self._value = self._load()
                log.info("read again", extra={"setting": self._field})
        except (W2SError, OSError) as error:
            log.error("cannot be read again, what was read before stays: %s", error)

    def _load(self) -> tuple[list[tuple[int, int]], T]:
        try:
            # Stamped before it is read: what changes meanwhile is read again.
            return self._stamps(), self._read()
        except OSError as error:
            raise InvalidArgument(self._field, f"cannot be read: {error}") from error

    def _stamps(self) -> list[tuple[int, int]]:
        return [(found.st_mtime_ns, found.st_ino) for found in (path.stat() for path in self._paths)]
