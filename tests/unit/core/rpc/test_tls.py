from __future__ import annotations

import ssl

import httpx2 as httpx
import pytest
from helpers.certificates import Authority
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from w2s.errors import InvalidArgument
from w2s.rpc import watched
from w2s.rpc.http import HttpListener
from w2s.rpc.settings import ServerSettings
from w2s.rpc.tls import http_context


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
async def listen(authority, monkeypatch):
    """Serves `in` over TLS; returns its address."""
    monkeypatch.setattr(watched, "_LOOK_S", 0.0)
    listeners = []

    async def answer(request):
        return PlainTextResponse("in")

    async def start(**files):
        cert, key = authority.issue("server")
        given = {"tls_cert_file": cert, "tls_key_file": key, **files}
        settings = ServerSettings(artifact_root="a", database_url="sqlite://", **given)
        app = Starlette(routes=[Route("/", answer)])
        listener = HttpListener(app, "127.0.0.1", 0, "port", tls=http_context(settings, "http_tls"))
        await listener.start()
        listeners.append(listener)
        return listener.address

    yield start
    for listener in listeners:
        await listener.stop(0)


async def ask(address, authority, host="localhost", scheme="https", shown=None):
    context = ssl.create_default_context(cafile=authority.file)
    if shown:
        context.load_cert_chain(*shown)
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        return (await client.get(f"{scheme}://{address.replace('127.0.0.1', host)}/")).text


# A client that names no host sends no server name.
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_renewed_certificate_is_shown_to_the_next_connection(listen, authority, tmp_path, host):
    address = await listen()
    assert await ask(address, authority, host) == "in"
    later = Authority(tmp_path, "later")
    later.issue("server")
    assert await ask(address, later, host) == "in"
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        await ask(address, authority, host)
    with pytest.raises(httpx.RemoteProtocolError):
        await ask(address, authority, host, scheme="http")


async def test_mutual_tls_asks_http_callers_for_a_certificate(listen, authority, tmp_path):
    clients = Authority(tmp_path, "clients")
    address = await listen(tls_client_ca_file=clients.file)
    assert await ask(address, authority, shown=clients.issue("client")) == "in"
    for shown in (None, Authority(tmp_path, "strangers").issue("stranger")):
        with pytest.raises(httpx.TransportError):
            await ask(address, authority, shown=shown)
    # The CA of callers is read again too.
    other = Authority(tmp_path, "clients")
    assert await ask(address, authority, shown=other.issue("other")) == "in"


def test_http_is_not_served_in_plaintext_for_want_of_a_certificate():
    with pytest.raises(InvalidArgument, match="http_tls: needs --tls-cert-file and --tls-key-file"):
        http_context(ServerSettings(artifact_root="a", database_url="sqlite://"), "http_tls")
