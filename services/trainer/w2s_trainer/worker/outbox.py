"""How a run's process tells its server what happens.

A message is a JSON object: {"progress": {...}}, or one that says how the process ended:
{"result": {...}}, {"error": {"code", "message"}} or {"stopped": true}.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import asdict
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from w2s.artifacts.workspace import Workspace
from w2s.jobs import Progress

log = logging.getLogger(__name__)

Message = dict[str, Any]

# Messages of so many seconds share a blob, so that reporting costs the training no time.
_BATCH_S = 0.2
_RETRY_S = 1.0
_FLUSH_S = 30.0
_RESULT = "result"
_READ = "read"


class Outbox(Protocol):
    """Where messages are left, in their order."""

    def send(self, progress: Progress) -> None:
        """Reports progress."""

    def end(self, message: Message) -> None:
        """Says how the process ended; all that was sent before arrives before."""


class PipeOutbox:
    """Messages through a pipe, to the server that started the process.

    Args:
        connection: Its end of the pipe.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, progress: Progress) -> None:
        """Reports progress."""
        self.end({"progress": asdict(progress)})

    def end(self, message: Message) -> None:
        """Says how the process ended."""
        self._connection.send_bytes(json.dumps(message).encode())


class WorkspaceOutbox:
    """Messages through the artifact store, to a server on any node.

    They are numbered blobs, each a list of messages, and at the end one more with the outcome.
    A process that is started again within a launch goes on with the numbers.

    Args:
        workspace: The run's.
        launch: The launch that the process belongs to; other launches have other blobs.
    """

    def __init__(self, workspace: Workspace, launch: str) -> None:
        self._workspace = workspace
        self._launch = launch
        self._queue: SimpleQueue[Message | None] = SimpleQueue()
        self._writer: threading.Thread | None = None

    @property
    def ended(self) -> bool:
        """Whether a process of this launch has said the outcome."""
        return self._workspace.read(_blob(self._launch, _RESULT)) is not None

    def send(self, progress: Progress) -> None:
        """Reports progress, without waiting for the store."""
        self._put({"progress": asdict(progress)})

    def end(self, message: Message) -> None:
        """Says how the process ended, once all before is written; the first outcome of a launch stands."""
        stopped = "stopped" in message
        if stopped:
            # No outcome of the run: its launch may start a process again.
            self._put(message)
        if self._writer is not None:
            self._queue.put(None)
            self._writer.join(_FLUSH_S)
        if not stopped and not self.ended:
            self._workspace.write(_blob(self._launch, _RESULT), json.dumps(message).encode())

    def _put(self, message: Message) -> None:
        if self._writer is None:
            self._writer = threading.Thread(target=self._write, daemon=True, name="outbox")
            self._writer.start()
        self._queue.put(message)

    def _write(self) -> None:
        number = _first_free(self._workspace, self._launch)
        while True:
            batch = self._next_batch()
            said = [message for message in batch if message is not None]
            if said:
                self._store(_blob(self._launch, number), said)
                number += 1
            if said != batch:
                return

    def _next_batch(self) -> list[Message | None]:
        """Messages, at least one, that came within a short time; None, the last, says that there are no more."""
        batch = [self._queue.get()]
        until = time.monotonic() + _BATCH_S
        while batch[-1] is not None:
            try:
                batch.append(self._queue.get(timeout=max(0.0, until - time.monotonic())))
            except Empty:
                break
        return batch

    def _store(self, name: str, batch: list[Message]) -> None:
        while True:
            try:
                self._workspace.write(name, json.dumps(batch).encode())
            except Exception as error:
                # Whatever a store raises: progress may be late, and ends no training.
                log.warning("progress could not be written", extra={"reason": str(error)})
                time.sleep(_RETRY_S)
            else:
                return


class OutboxReader:
    """Reads a launch's messages, each once and in order.

    Args:
        workspace: The run's.
        launch: The launch.
    """

    def __init__(self, workspace: Workspace, launch: str) -> None:
        self._workspace = workspace
        self._launch = launch
        position = self._kept = self._read(_READ)
        self._number: int = position["number"] if position else 0
        self.closed: bool = position["closed"] if position else False

    def new(self) -> list[Message]:
        """The messages that have come since; one with the outcome, once there is one, comes last."""
        messages: list[Message] = []
        try:
            # Read before the others: what was written before it is there now.
            outcome = self._read(_RESULT)
            # Asked for by name: a long run's folder is never listed.
            while (batch := self._read(self._number + 1)) is not None:
                messages += batch
                self._number += 1
        except Exception as error:
            # Whatever a store raises: what is there is read once it answers.
            log.warning("a run's messages could not be read", extra={"reason": str(error)})
            return messages
        return messages if outcome is None else [*messages, outcome]

    def keep(self, closed: bool = False) -> None:
        """Lets the next reader of this launch begin here.

        Args:
            closed: Whether the outcome has been read: a launch whose outcome is known is over.
        """
        position = {"number": self._number, "closed": closed}
        if position == self._kept:
            return
        try:
            self._workspace.write(_blob(self._launch, _READ), json.dumps(position).encode())
        except Exception as error:
            # Whatever a store raises: at worst some messages are told twice.
            log.warning("how far a run's messages are read could not be written", extra={"reason": str(error)})
        else:
            self._kept = position

    def _read(self, part: str | int) -> Any:
        return _parsed(self._workspace.read(_blob(self._launch, part)))


def _blob(launch: str, part: str | int) -> str:
    return f"outbox-{launch}-{part}"


def _parsed(content: bytes | None) -> Any:
    if content is None:
        return None
    try:
        return json.loads(content)
    except ValueError:
        # Some stores show a blob before all of it is there.
        return None


def _first_free(workspace: Workspace, launch: str) -> int:
    """The least number >= 1 without a blob, found in O(log n) reads."""

    def taken(number: int) -> bool:
        return workspace.read(_blob(launch, number)) is not None

    above = 1
    while taken(above):
        above *= 2
    below = above // 2
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if taken(middle) else (below, middle)
    return above
