"""One execution of a job in this process, bounded by a lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

from w2s.jobs.store import Lease

log = logging.getLogger(__name__)


class Stop(StrEnum):
    """Why work was stopped: the argument of the CancelledError that the work sees."""

    CANCELLED = "cancelled"  # The job is to be cancelled.
    STOPPING = "stopping"  # This server stops; the next attempt goes on.
    LOST = "lost"  # The lease: another server may be at work already.


class Attempt:
    """Work on a job that goes on while its lease is renewed.

    Args:
        task: Does the work.
        renew: Renews the lease in the database, and says how it stands.
        lease_s: Seconds that a renewed lease lasts.
        claimed: When the job was claimed, by the event loop's clock, or a little before.

    Attributes:
        stopped: Why the work was stopped last; None while it was not.
    """

    def __init__(
        self,
        task: asyncio.Task[dict[str, Any]],
        renew: Callable[[], Awaitable[Lease]],
        lease_s: float,
        claimed: float,
    ) -> None:
        self.task = task
        self.stopped: Stop | None = None
        self._renew = renew
        self._lease_s = lease_s
        self._until = claimed + lease_s

    def stop(self, reason: Stop) -> None:
        """Stops the work; what clears up after a cancel or a lost lease is not broken into by a second stop.

        Work that puts things away for the next server is stopped again, though, when nobody
        needs them any more or that server may have begun.

        Args:
            reason: Why; the work finds its value in `CancelledError.args`.
        """
        if self.stopped is None or (self.stopped is Stop.STOPPING and reason is not Stop.STOPPING):
            self.stopped = reason
            self.task.cancel(reason.value)

    async def keep(self) -> None:
        """Renews the lease each third of it; stops the work when it is lost or cancelled.

        Work that has been stopped keeps its lease until it has ended, too.
        """
        lease = Lease.HELD
        while lease is not Lease.LOST:
            await asyncio.sleep((self._until - asyncio.get_running_loop().time()) / 3)
            lease = await self._renewed()
            if lease is not Lease.HELD:
                self.stop(Stop.LOST if lease is Lease.LOST else Stop.CANCELLED)

    async def _renewed(self) -> Lease:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        try:
            # A server that was held up for its whole lease still asks: nobody may have taken the job.
            lease = await asyncio.wait_for(self._renew(), max(self._until - asked, self._lease_s / 3))
        except Exception:
            # Whatever the reason: when the lease ends without an answer, another server takes the job.
            log.warning("a lease could not be renewed", exc_info=True)
            return Lease.HELD if loop.time() < self._until else Lease.LOST
        self._until = asked + self._lease_s
        return lease
