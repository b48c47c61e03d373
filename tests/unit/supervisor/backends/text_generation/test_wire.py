from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gzip

import pytest

from w2s.errors import FailedPrecondition, Internal
from w2s.models.inputs import Row, Sampling
from w2s_supervisor.backends.protocol import Lane
from w2s_supervisor.backends.text_generation.client import Client
from w2s_supervisor.backends.text_generation.failures import RowError

TOKEN = "hf_not_for_any_log"


@pytest.fixture
def credentials(tmp_path, teachers):
    (tmp_path / "tgi").write_text(f"{TOKEN}\n")
    teachers.endpoints = dataclasses.replace(teachers.endpoints, credentials=tmp_path)
    return tmp_path


@contextlib.asynccontextmanager
async def answering(content):
    """A server that answers every request with the same bytes, and what it was sent."""
    sent = []

    async def answer(reader, writer):
        sent.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(content)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", sent


async def test_the_token_opens_the_server(teachers, control, credentials, prompt):
    control(api_key=TOKEN)
    teacher = await teachers.open(prompt=prompt(), credential="tgi")
    await teacher.label([Row("the cat")], Lane.ONLINE)
    async for _ in teacher.generate(Sampling("the cat", max_new_tokens=2)):
        pass
    assert {request["authorization"] for request in control()["requests"]} == {f"Bearer {TOKEN}"}


async def test_the_token_is_read_anew_for_each_request(teachers, control, credentials, prompt):
    teacher = await teachers.open(prompt=prompt(), credential="tgi")
    (credentials / "tgi").write_text("another")
    control(api_key="another")
    await teacher.label([Row("the cat")], Lane.ONLINE)


async def test_a_wrong_token_is_refused_without_being_quoted(teachers, control, credentials, prompt, caplog):
    control(api_key="right")
    with pytest.raises(FailedPrecondition) as caught, caplog.at_level("DEBUG"):
        await teachers.identify(prompt=prompt(), credential="tgi")
    assert "credential" in caught.value.message
    assert TOKEN not in caught.value.message + caplog.text


async def test_no_credential_sends_no_token_whatever_the_environment_has(teachers, control, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    teacher = await teachers.open()
    async for _ in teacher.generate(Sampling("the cat", max_new_tokens=2)):
        pass
    assert {request["authorization"] for request in control()["requests"]} == {""}


@pytest.mark.parametrize("content", [f"{TOKEN}\nX: y", f"{TOKEN} y", f"{TOKEN}é"])
async def test_a_token_that_no_header_holds_is_refused_without_being_quoted(content, teachers, credentials):
    (credentials / "tgi").write_text(content)
    with pytest.raises(FailedPrecondition) as caught:
        await teachers.identify(credential="tgi")
    assert TOKEN not in caught.value.message


async def test_a_missing_credential_is_no_failed_attempt(teachers, credentials):
    with pytest.raises(FailedPrecondition, match="no readable credential other"):
        await teachers.identify(credential="other")
    assert teachers.errors == []


async def test_redirects_are_not_followed(teachers, control):
    async with answering(b"") as (elsewhere, sent):
        control(redirect=f"{elsewhere}/stolen")
        with pytest.raises(FailedPrecondition, match="redirect"):
            await teachers.identify()
        assert sent == []


async def test_a_redirected_stream_is_not_followed(teachers, control):
    teacher = await teachers.open()
    async with answering(b"") as (elsewhere, sent):
        control(redirect=f"{elsewhere}/stolen")
        teachers.clock.now -= 1
        with pytest.raises(FailedPrecondition, match="redirect"):
            await anext(teacher.generate(Sampling("the cat")))
        assert sent == []


async def test_proxies_of_the_environment_are_not_used(teachers, control, monkeypatch):
    async with answering(b"") as (proxy, sent):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        await teachers.identify()
        assert sent == []


async def test_a_compressed_answer_is_not_unpacked(teachers):
    body = gzip.compress(b'{"model_id": "toy/one"}')
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with answering(head + body) as (url, sent):
        client = Client(url, 4, 30.0, lambda: "", teachers.errors.append, teachers.rng)
        with pytest.raises(RowError) as caught:
            await client.get("/info", lambda response: response.json())
        assert isinstance(caught.value.error, Internal)
        assert b"accept-encoding: identity" in sent[0].lower()
        await client.close()
