# The SDK ships no types.
# mypy: disallow-subclassing-any=False
"""Protocols v1 and v2 over HTTP, on the event loop of the gRPC server."""

from __future__ import annotations

import ssl
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from w2s.rpc.access import Access
from w2s.rpc.http import Guard, HttpListener, read_body
from w2s.rpc.roles import Role
from w2s_supervisor.limits import Limits
from w2s_supervisor.oip import bodies
from w2s_supervisor.oip.answers import Answered, json_response, refused
from w2s_supervisor.oip.desk import Desk
from w2s_supervisor.oip.models import TeacherPlane, TeacherRepositoryExtension
from w2s_supervisor.oip.sdk import INFERENCE_CONTENT_LENGTH_HEADER, ModelNotReady, V1Endpoints, V2Endpoints


class _V1(V1Endpoints):
    """Protocol v1. The SDK's own lists no teachers, and refuses those that are not in memory yet."""

    def __init__(self, plane: TeacherPlane, extension: TeacherRepositoryExtension, max_bytes: int) -> None:
        super().__init__(plane, extension)
        self._max_bytes = max_bytes

    async def models(self) -> Response:
        return json_response({"models": list(await self.dataplane.repository.states())})

    async def predict(self, model_name: str, request: Request) -> Response:
        payload = bodies.payload_of(await read_body(request, self._max_bytes))
        content, _ = await self.dataplane.infer(model_name, payload)
        return json_response(content)


class _V2(V2Endpoints):
    """Protocol v2. The SDK's own knows no versions, besides what is wrong in its v1."""

    def __init__(self, plane: TeacherPlane, extension: TeacherRepositoryExtension, max_bytes: int) -> None:
        super().__init__(plane, extension)
        self._max_bytes = max_bytes

    async def models(self) -> Response:
        return json_response({"models": list(await self.dataplane.repository.states())})

    async def model_metadata(self, model_name: str, model_version: str = "") -> Response:
        return json_response(await self.dataplane.model_metadata(model_name, model_version))

    async def model_ready(self, model_name: str, model_version: str = "") -> Response:
        if not await self.dataplane.model_ready(model_name, version=model_version):
            raise ModelNotReady(model_name)
        return json_response({"name": model_name, "ready": True})

    async def infer(self, request: Request, model_name: str, model_version: str = "") -> Response:
        body = await read_body(request, self._max_bytes)
        json_bytes = request.headers.get(INFERENCE_CONTENT_LENGTH_HEADER)
        asked = bodies.infer_request_of(body, json_bytes, model_name, model_version)
        answer, _ = await self.dataplane.infer(model_name, asked)
        content, length = answer.to_rest()
        if length is None:
            return json_response(content)
        headers = {INFERENCE_CONTENT_LENGTH_HEADER: str(length)}
        return Response(content, headers=headers, media_type="application/octet-stream")

    async def index(self, request: Request) -> Response:
        body = await read_body(request, self._max_bytes)
        payload = bodies.payload_of(body) if body else {}
        only_ready = isinstance(payload, dict) and payload.get("ready") is True
        return json_response(await self.model_repository_extension.index(only_ready))


def _application(desk: Desk, limits: Limits, max_bytes: int) -> FastAPI:
    plane = TeacherPlane(desk, limits)
    extension = TeacherRepositoryExtension(plane.repository)
    v1, v2 = _V1(plane, extension, max_bytes), _V2(plane, extension, max_bytes)
    app = FastAPI(openapi_url=None, redirect_slashes=False, exception_handlers={HTTPException: refused})
    app.add_middleware(Answered)
    model, version = "/v2/models/{model_name}", "/versions/{model_version}"
    routes: list[tuple[str, str, Any]] = [
        ("GET", "/v1/models", v1.models),
        ("GET", "/v1/models/{model_name}", v1.model_ready),
        ("POST", "/v1/models/{model_name}:predict", v1.predict),
        ("GET", "/v2", v2.metadata),
        ("GET", "/v2/health/live", v2.live),
        ("GET", "/v2/health/ready", v2.ready),
        ("GET", "/v2/models", v2.models),
        *(
            (method, f"{model}{pinned}{path}", handler)
            for method, path, handler in (
                ("GET", "", v2.model_metadata),
                ("GET", "/ready", v2.model_ready),
                ("POST", "/infer", v2.infer),
            )
            for pinned in ("", version)
        ),
        ("POST", "/v2/repository/index", v2.index),
        ("POST", "/v2/repository/models/{model_name}/load", v2.load),
        ("POST", "/v2/repository/models/{model_name}/unload", v2.unload),
    ]
    for method, path, handler in routes:
        app.add_api_route(path, handler, methods=[method], response_model=None)
    return app


class OipHttp(HttpListener):
    """The protocol's HTTP server.

    Args:
        desk: Where teachers are asked.
        limits: How much a request may carry.
        host: The address to listen on.
        port: The port; 0 for a free one.
        max_bytes: The largest body that is read.
        access: Who may ask.
        tls: What connections are secured by; None for plaintext.
    """

    def __init__(
        self,
        desk: Desk,
        limits: Limits,
        host: str,
        port: int,
        max_bytes: int,
        access: Access,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        app = _application(desk, limits, max_bytes)
        super().__init__(app, host, port, "http_port", Guard(access, role_of), tls)


def role_of(request: Request) -> Role | None:
    """The least role for a request: whether the server and its models live is open to probes."""
    path = request.url.path
    if request.method == "GET":
        return None if path.startswith("/v2/health/") or path.endswith("/ready") else Role.READER
    if path.startswith("/v2/repository/models/"):
        return Role.ADMIN if path.endswith("/unload") else Role.OPERATOR
    return Role.READER
