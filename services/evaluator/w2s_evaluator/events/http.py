"""The HTTP port that KServe's payload logger sends its events to."""

from __future__ import annotations

import logging
import ssl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from w2s.errors import InvalidArgument, NotFound, ResourceExhausted, W2SError
from w2s.rpc.access import Access
from w2s.rpc.http import Guard, HttpListener, read_body, refusal
from w2s.rpc.roles import Role
from w2s_evaluator.events.join import Joiner
from w2s_evaluator.events.metrics import EventMetrics
from w2s_evaluator.events.parse import half_of

log = logging.getLogger(__name__)

_OUTCOMES: dict[type[W2SError], str] = {
    InvalidArgument: "malformed",
    NotFound: "unknown_student",
    ResourceExhausted: "shed",
}


class EventsHttp(HttpListener):
    """Takes CloudEvents by POST to `/`: 202 once an event is stored, with what became of it.

    Args:
        joiner: Where events go.
        metrics: What is counted.
        host: The address to listen on.
        port: The port; 0 for a free one.
        max_bytes: The largest body that is read.
        access: Who may send events, operators at least.
        tls: What connections are secured by; None for plaintext.
    """

    def __init__(
        self,
        joiner: Joiner,
        metrics: EventMetrics,
        host: str,
        port: int,
        max_bytes: int,
        access: Access,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        async def take(request: Request) -> Response:
            try:
                outcome = await joiner.take(half_of(request.headers, await read_body(request, max_bytes)))
            except W2SError as error:
                metrics.handled(_OUTCOMES.get(type(error), "failed"))
                log.info("event refused", extra={"reason": error.message})
                return refusal(error)
            metrics.handled(outcome)
            return JSONResponse({"outcome": outcome}, 202)

        app = Starlette(routes=[Route("/", take, methods=["POST"])])
        super().__init__(app, host, port, "events_port", Guard(access, lambda _: Role.OPERATOR), tls)
