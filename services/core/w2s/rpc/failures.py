"""What a caller is told when a call fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import grpc
import grpc.aio

from w2s.errors import Internal, W2SError
from w2s.outages import disk_outage
from w2s.rpc.calls import Call
from w2s.rpc.status import abort

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def answered(call: Call) -> AsyncIterator[None]:
    """Ends the call with a status where it fails: with the error's own, an outage's, or INTERNAL and a fixed text."""
    try:
        yield
    except W2SError as error:
        await abort(call.context, error)
    except (grpc.aio.AbortError, grpc.aio.InternalError):
        # The caller has been told already, or has gone.
        raise
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and _interrupted():
            raise
        if isinstance(error, NotImplementedError) and call.context.code() is grpc.StatusCode.UNIMPLEMENTED:
            # What the generated servicer does for each method that ours leaves out.
            await call.context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{call.method} is not implemented")
        log.exception("call failed", extra={"method": call.method})
        await abort(call.context, disk_outage(error) or Internal("internal error; the server's log says more"))


def _interrupted() -> bool:
    """Whether gRPC ended this call: it does not answer one that ends by somebody else's cancellation."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
