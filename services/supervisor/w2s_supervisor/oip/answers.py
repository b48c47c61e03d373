"""What an HTTP caller is told when a request fails; the same errors as over gRPC."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from w2s.errors import W2SError
from w2s.rpc.http import refusal
from w2s_supervisor.oip.models import NotReady
from w2s_supervisor.oip.sdk import ModelNotReady, ServerNotReady

log = logging.getLogger(__name__)

_GONE = 499


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response in JSON."""
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


class Answered:
    """Runs an application: what fails is answered, and one line is logged a request, never its content.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request; see https://asgi.readthedocs.io."""
        start, status = time.perf_counter(), 0

        async def watched(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            status = _GONE
        except Exception as error:
            if status:
                raise
            await _failure(error, scope["path"])(scope, receive, watched)
        finally:
            facts = {
                "method": f"{scope['method']} {scope['path'][:256]}",
                "code": status,
                "seconds": round(time.perf_counter() - start, 4),
                "peer": ":".join(map(str, scope["client"] or ())),
            }
            log.log(logging.INFO if scope["method"] == "POST" else logging.DEBUG, "call", extra=facts)


async def refused(request: Any, error: Exception) -> Response:
    """The answer to a request that no handler takes."""
    assert isinstance(error, HTTPException)
    return json_response({"error": error.detail}, error.status_code, error.headers)


def _failure(error: Exception, path: str) -> Response:
    if isinstance(error, W2SError):
        return refusal(error, 503 if isinstance(error, NotReady) else None)
    if isinstance(error, ModelNotReady | ServerNotReady):
        return json_response({"error": error.error_msg}, 503)
    log.error("call failed", extra={"method": path}, exc_info=error)
    return json_response({"error": "internal error; the server's log says more"}, 500)
