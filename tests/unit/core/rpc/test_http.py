from __future__ import annotations

import logging

import httpx2 as httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from w2s.rpc.access import Access
from w2s.rpc.http import Guard, HttpListener
from w2s.rpc.roles import Role
from w2s.rpc.tokens import Tokens

READER, OPERATOR = "r" * 22, "o" * 22


@pytest.fixture
async def ask(tmp_path):
    """Asks a guarded server: `GET /open` is open, any other GET for readers, POST for operators."""
    path = tmp_path / "tokens"
    path.write_text(f"ann reader {READER}\noli operator {OPERATOR}\n")

    async def answer(request):
        if request.url.path == "/broken":
            raise RuntimeError("broken")
        return PlainTextResponse("in")

    def needed(request):
        if request.url.path == "/open":
            return None
        return Role.READER if request.method == "GET" else Role.OPERATOR

    app = Starlette(routes=[Route("/{path}", answer, methods=["GET", "POST"])])
    server = HttpListener(app, "127.0.0.1", 0, "port", Guard(Access(Tokens(path)), needed))
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://{server.address}", trust_env=False) as client:

        async def ask(method, path, token=""):
            return await client.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})

        yield ask
    await server.stop(0)


async def test_a_guarded_server_asks_for_tokens(ask):
    assert (await ask("GET", "/open")).text == "in"
    assert (await ask("GET", "/closed", READER)).text == "in"
    assert (await ask("POST", "/closed", OPERATOR)).text == "in"
    nobody = await ask("GET", "/closed")
    assert (nobody.status_code, nobody.headers["WWW-Authenticate"]) == (401, "Bearer")
    low = await ask("POST", "/closed", READER)
    assert (low.status_code, low.json()) == (403, {"error": "ann is reader, and this needs operator"})


async def test_requests_that_may_change_something_are_audited_however_they_end(ask, caplog):
    caplog.set_level(logging.INFO, "w2s.audit")
    for method, path, token in (
        ("GET", "/open", ""),
        ("GET", "/seen", READER),
        ("POST", "/changed", OPERATOR),
        ("POST", "/changed", READER),
        ("POST", "/changed?secret=1", ""),
        ("POST", "/broken", OPERATOR),
    ):
        await ask(method, path, token)
    lines = [record for record in caplog.records if record.name == "w2s.audit"]
    assert [(line.method, line.principal, line.code) for line in lines] == [
        ("POST /changed", "oli", 200),
        ("POST /changed", "ann", 403),
        ("POST /changed", "", 401),
        ("POST /broken", "oli", 500),
    ]
    # As gRPC says where a call comes from.
    assert all(line.peer.startswith("ipv4:127.0.0.1:") for line in lines)
