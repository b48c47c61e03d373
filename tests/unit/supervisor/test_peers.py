"""A name whose address changes after it was checked, as an attacker's name server would have it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import socket

import grpc
import httpx2
import pytest
from helpers.certificates import Authority

from w2s.errors import FailedPrecondition, Unavailable
from w2s_supervisor import peers
from w2s_supervisor.backends.inference.over_grpc import GrpcRemote
from w2s_supervisor.backends.inference.over_http import HttpRemote
from w2s_supervisor.backends.text_generation.wire import Wire
from w2s_supervisor.endpoints import Endpoints
from w2s_supervisor.oip.sdk import pb, pb_grpc

GOOD, SECRETS = "127.0.0.1", "127.0.0.2"


@pytest.fixture
def told(monkeypatch):
    """What look-ups of `model.example` and `localhost` are told, one after the other; the last stays."""
    addresses, real = [GOOD], socket.getaddrinfo

    def resolve(host, port, *args, **kwargs):
        if host not in ("model.example", b"model.example", "localhost"):
            return real(host, port, *args, **kwargs)
        address = addresses.pop(0) if len(addresses) > 1 else addresses[0]
        if address is None:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(peers, "_METADATA", frozenset({ipaddress.ip_address(SECRETS)}))
    return addresses


@pytest.fixture
async def secrets():
    """A server where no teacher may be: its port, and what it is sent."""
    sent = []

    async def listen(reader, writer):
        sent.append(await reader.read())
        writer.close()

    async with await asyncio.start_server(listen, SECRETS, 0) as server:
        yield server.sockets[0].getsockname()[1], sent


async def ask_as_text_generation(url):
    async with httpx2.AsyncClient(transport=Wire(1, lambda: "s3cret"), trust_env=False) as client:
        await client.get(url)


async def ask_as_inference(url):
    remote = HttpRemote(url, "m", "", lambda: "s3cret")
    try:
        await remote.is_ready(5)
    finally:
        await remote.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("ask", [ask_as_text_generation, ask_as_inference])
async def test_nothing_is_sent_over_http_to_a_name_that_leads_elsewhere_once_it_was_checked(told, secrets, scheme, ask):
    port, sent = secrets
    url = f"{scheme}://model.example:{port}"
    told[:] = [GOOD, SECRETS]
    assert await Endpoints((url,)).reach(url, "url") == url
    with pytest.raises(FailedPrecondition, match=f"is at {SECRETS}, where machines are told their secrets"):
        await ask(url)
    async with asyncio.timeout(5):
        while not sent:
            await asyncio.sleep(0.01)
    assert sent == [b""]


class Ready(pb_grpc.GRPCInferenceServiceServicer):
    """Says that it is ready, and remembers who asked."""

    def __init__(self):
        self.asked = []

    async def ModelReady(self, request, context):  # noqa: N802
        self.asked.append(context.peer())
        return pb.ModelReadyResponse(ready=True)


@contextlib.asynccontextmanager
async def ready(port=0, credentials=None):
    servicer, server = Ready(), grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    pb_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    add = functools.partial(server.add_secure_port, server_credentials=credentials) if credentials else None
    servicer.port = (add or server.add_insecure_port)(f"0.0.0.0:{port}")
    await server.start()
    try:
        yield servicer
    finally:
        await server.stop(None)


async def test_a_grpc_server_is_looked_up_and_checked_again_when_it_was_away(told):
    async with ready() as server:
        remote = GrpcRemote(f"grpc://model.example:{server.port}", "m", "", lambda: "")
        assert await remote.is_ready(5)
        # An open connection goes on: its address was checked.
        told[:] = [SECRETS]
        assert await remote.is_ready(5)
    with pytest.raises(Unavailable):
        await remote.is_ready(5)
    async with ready(server.port) as back:
        with pytest.raises(FailedPrecondition, match=f"model.example is at {SECRETS}"):
            await remote.is_ready(5)
        assert back.asked == []
        # One that has moved is found, and one whose name server is away is asked where it was.
        for addresses in (["127.0.0.3"], [None]):
            told[:] = addresses
            assert await remote.is_ready(5)
        await remote.close()
    assert len(back.asked) == 2


async def test_a_grpc_server_without_an_address_is_unavailable(told):
    told[:] = [None]
    with pytest.raises(Unavailable, match="its host has no address"):
        await GrpcRemote("grpc://model.example:1", "m", "", lambda: "").is_ready(5)


async def test_a_grpc_servers_certificate_is_held_against_its_name_not_its_address(told, tmp_path, monkeypatch):
    authority = Authority(tmp_path)
    cert, key = (path.read_bytes() for path in authority.issue("server"))
    trusted = grpc.ssl_channel_credentials(authority.file.read_bytes())
    monkeypatch.setattr(grpc, "ssl_channel_credentials", lambda: trusted)
    # The certificate says localhost and 127.0.0.1.
    told[:] = ["127.0.0.3"]
    async with ready(credentials=grpc.ssl_server_credentials([(key, cert)])) as server:
        remotes = [GrpcRemote(f"grpcs://{name}:{server.port}", "m", "", str) for name in ("localhost", "model.example")]
        assert await remotes[0].is_ready(5)
        with pytest.raises(Unavailable):
            await remotes[1].is_ready(5)
        for remote in remotes:
            await remote.close()
