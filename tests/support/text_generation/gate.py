"""What stands before every route: what a proxy, a limit or a broken network does to requests."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from support.text_generation.switches import State, Switches

CONTROL = "/control"
_TYPES = {424: "generation", 429: "overloaded", 500: "incomplete_generation"}


class Gate:
    """ASGI middleware that lets through what the switches let through."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == CONTROL:
            return await self._app(scope, receive, send)
        switches = self._state.switches
        self._state.arrived(scope["path"], ":".join(map(str, scope["client"])))
        if switches.spend("reset_count"):
            # The bound method's owner is uvicorn's request cycle, which has the socket.
            return receive.__self__.transport.abort()
        headers = Headers(scope=scope)
        body, replay = await _buffered(receive) if scope["method"] == "POST" else (b"", receive)
        refusal = self._refusal(scope, headers, body)
        if refusal is not None:
            return await refusal(scope, replay, send)
        if scope["method"] == "POST":
            self._state.note(scope["path"], _json(body), headers.get("authorization", ""))
        return await self._app(scope, replay, _altered(send, switches))

    def _refusal(self, scope: Scope, headers: Headers, body: bytes) -> Response | None:
        switches = self._state.switches
        if switches.redirect:
            return RedirectResponse(switches.redirect, status_code=307)
        if switches.api == "openai" and not scope["path"].startswith("/v1/"):
            return JSONResponse({"detail": "Not Found"}, 404)
        return self._post_refusal(headers, body) if scope["method"] == "POST" else None

    def _post_refusal(self, headers: Headers, body: bytes) -> Response | None:
        switches = self._state.switches
        if switches.api_key and headers.get("authorization") != f"Bearer {switches.api_key}":
            return Response(status_code=401)
        if len(body) > switches.payload_limit:
            return PlainTextResponse("Failed to buffer the request body: length limit exceeded", 413)
        if switches.spend("fail_count"):
            error = {"error": "told to fail", "error_type": _TYPES.get(switches.fail_status, "unknown")}
            return JSONResponse(error, switches.fail_status)
        return None


async def _buffered(receive: Receive) -> tuple[bytes, Receive]:
    """The whole body, and a `receive` that tells it again."""
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    body, told = b"".join(parts), False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return body, replay


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _altered(send: Send, switches: Switches) -> Callable[[Message], Awaitable[None]]:
    """A `send` that pads answers, or cuts them in half, without breaking HTTP."""
    halve = switches.spend("truncated_count")
    if not (halve or switches.padding):
        return send
    start: Message = {}
    parts: list[bytes] = []

    async def altered(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
            return
        parts.append(message.get("body", b""))
        if message.get("more_body"):
            return
        body = b"".join(parts)
        body = body[: len(body) // 2] if halve else body + b" " * switches.padding
        headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        start["headers"] = [*headers, (b"content-length", str(len(body)).encode())]
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return altered
