"""The protocol over HTTP.

Not through the SDK's InferenceRESTClient, which asks for no metadata and no version, and drops the version
that answered.
"""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from w2s.errors import DeadlineExceeded, FailedPrecondition, Unavailable, W2SError
from w2s_supervisor.backends.inference.codec import MALFORMED, output_of, request_of
from w2s_supervisor.backends.inference.remote import Metadata, Output, Tensor, error_of, not_the_protocol
from w2s_supervisor.oip.sdk import InferResponse
from w2s_supervisor.peers import check_connection

# It writes a line for each request.
logging.getLogger("httpx2").setLevel(logging.WARNING)

# The google.rpc.Code of an HTTP status. 413 is a request that is too large; a smaller one may pass.
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 408: 4, 409: 9, 412: 9, 413: 3, 422: 3, 429: 8, 501: 12, 504: 4}
_UNAVAILABLE = frozenset({502, 503})
_NOT_READY = frozenset({400, 503})
_OK = 200
_MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class _Reply:
    """A response, its Retry-After, and the token that its request showed."""

    status: int
    body: bytes
    wait: str
    token: str


class HttpRemote:
    """A model on an HTTP server; see `Remote`.

    Args:
        url: `http://host:port` or `https://host:port`, and perhaps a path.
        model: Its name there.
        version: Its version there; empty for the server's choice.
        token: The bearer token, asked for each request; empty for none.
    """

    def __init__(self, url: str, model: str, version: str, token: Callable[[], str]) -> None:
        self._where = f"model {model} at {url}"
        self._url = f"{url}/v2/models/{model}" + (f"/versions/{version}" if version else "")
        self._model = model
        self._version = version
        self._token = token
        # The context knows SSL_CERT_FILE; proxies and passwords in the environment are not for these servers.
        self._client = httpx2.AsyncClient(verify=ssl.create_default_context(), trust_env=False)

    async def is_ready(self, timeout_s: float) -> bool:
        """As `Remote.is_ready`."""
        reply = await self._send("GET", "/ready", None, timeout_s)
        if reply.status in _NOT_READY:
            return False
        if reply.status != _OK:
            raise self._error(reply)
        return True

    async def metadata(self, timeout_s: float) -> Metadata:
        """As `Remote.metadata`."""
        found = self._content(await self._send("GET", "", None, timeout_s))
        try:
            return Metadata(
                name=found["name"],
                versions=tuple(found.get("versions") or ()),
                platform=found.get("platform", ""),
                inputs=_tensors(found.get("inputs")),
                outputs=_tensors(found.get("outputs")),
                properties=found.get("properties") or {},
            )
        except MALFORMED as error:
            raise not_the_protocol(self._where, error) from error

    async def infer(self, inputs: Mapping[str, Sequence[str]], output: str, timeout_s: float) -> Output:
        """As `Remote.infer`."""
        content, _ = request_of(self._model, self._version, inputs, output).to_rest()
        found = self._content(await self._send("POST", "/infer", content, timeout_s))
        try:
            response = InferResponse.from_rest(found)
        except MALFORMED as error:
            raise not_the_protocol(self._where, error) from error
        return output_of(response, output, self._where)

    async def close(self) -> None:
        """As `Remote.close`."""
        await self._client.aclose()

    async def _send(self, method: str, path: str, content: Any, timeout_s: float) -> _Reply:
        headers = {"accept-encoding": "identity"}
        token = self._token()
        if token:
            headers["authorization"] = f"Bearer {token}"
        url = self._url + path
        try:
            async with self._client.stream(
                method, url, json=content, headers=headers, timeout=timeout_s, extensions={"trace": check_connection}
            ) as response:
                wait = response.headers.get("retry-after", "")
                return _Reply(response.status_code, await _read(response), wait, token)
        except httpx2.TimeoutException as error:
            raise DeadlineExceeded(f"{self._where} did not answer in time") from error
        except httpx2.TransportError as error:
            # Its own words may quote the headers.
            raise Unavailable(f"{self._where} cannot be reached, or broke off ({type(error).__name__})") from error

    def _content(self, reply: _Reply) -> Any:
        if reply.status != _OK:
            raise self._error(reply)
        if len(reply.body) > _MAX_BYTES:
            raise FailedPrecondition(f"{self._where}: the answer is larger than {_MAX_BYTES >> 20} MiB")
        try:
            return json.loads(reply.body)
        except ValueError as error:
            raise not_the_protocol(self._where, error) from error

    def _error(self, reply: _Reply) -> W2SError:
        code = 14 if reply.status in _UNAVAILABLE else _CODES.get(reply.status, 13)
        words = f"{reply.status}: {reply.body.decode(errors='replace')}"
        wait = float(reply.wait) if reply.wait.isdecimal() else None
        return error_of(code, words, self._where, reply.token, wait)


async def _read(response: httpx2.Response) -> bytes:
    """A response's body, up to what is too much of it."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > _MAX_BYTES:
            break
    return bytes(body)


def _tensors(found: Any) -> tuple[Tensor, ...]:
    return tuple(Tensor(one["name"], one["datatype"], tuple(one["shape"])) for one in found or ())
