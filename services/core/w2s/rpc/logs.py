"""Structured logs: one JSON object a line, on standard error."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator

from pythonjsonlogger.json import JsonFormatter

from w2s.rpc.calls import Call

log = logging.getLogger(__name__)

_QUIET = "/grpc."


def configure_logs(level: str, service: str) -> None:
    """Sends all logging to standard error as JSON, each line with its service."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "{asctime}{levelname}{name}{message}",
            style="{",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            static_fields={"service": service},
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # They have a line for every request and every plugin at INFO.
    for chatty in ("httpx2", "alembic.runtime.plugins"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


@contextlib.asynccontextmanager
async def logged(call: Call) -> AsyncIterator[None]:
    """Logs one line once the call has ended: method, code, duration and caller; never its content."""
    start = time.perf_counter()
    try:
        yield
    finally:
        facts = {
            "method": call.method,
            "code": call.code().name,
            "seconds": round(time.perf_counter() - start, 4),
            "peer": call.peer,
        }
        log.log(logging.DEBUG if call.method.startswith(_QUIET) else logging.INFO, "call", extra=facts)
