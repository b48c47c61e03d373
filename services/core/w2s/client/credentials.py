"""What a client shows the services, and what it asks of them to show: read from the environment.

| variable | meaning |
|---|---|
| `W2S_SERVER_CA_FILE` | PEM of the CA whose certificates the services show; unset for plaintext |
| `W2S_CLIENT_CERT_FILE`, `W2S_CLIENT_KEY_FILE` | PEM of the client's own certificate, for mutual TLS |
| `W2S_TOKEN_FILE` | file with the bearer token, read again at each call |
| `W2S_TOKEN` | the token itself, where there is no file |
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from w2s.errors import FailedPrecondition

_FILES = ("W2S_SERVER_CA_FILE", "W2S_CLIENT_CERT_FILE", "W2S_CLIENT_KEY_FILE")
Metadata = tuple[tuple[str, str], ...]


def channel_credentials() -> grpc.ChannelCredentials | None:
    """TLS credentials; None for plaintext.

    Raises:
        FailedPrecondition: A file that is named cannot be read, or only one of certificate and key is named.
    """
    ca, cert, key = map(_file, _FILES)
    if (cert is None) != (key is None):
        raise FailedPrecondition("set both W2S_CLIENT_CERT_FILE and W2S_CLIENT_KEY_FILE, or neither")
    if ca is None:
        if cert:
            raise FailedPrecondition("set W2S_SERVER_CA_FILE too: a certificate is shown to TLS servers only")
        return None
    return grpc.ssl_channel_credentials(ca, key, cert)


def channel_files() -> list[Path]:
    """The files that `channel_credentials` reads."""
    return [Path(path) for variable in _FILES if (path := os.environ.get(variable))]


def bearer() -> Metadata:
    """A call's metadata with the token; none where there is no token.

    Raises:
        FailedPrecondition: The token's file cannot be read.
    """
    content = _file("W2S_TOKEN_FILE")
    token = os.environ.get("W2S_TOKEN", "") if content is None else content.decode()
    return (("authorization", f"Bearer {token.strip()}"),) if token.strip() else ()


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class Bearer(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc]
    grpc.StreamStreamClientInterceptor,  # type: ignore[misc]
):
    """Shows the token with each call of a channel; see `grpc.intercept_channel`."""

    def _shown(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        metadata = [*(details.metadata or ()), *bearer()]
        return continuation(
            _Details(
                details.method,
                details.timeout,
                metadata,
                details.credentials,
                details.wait_for_ready,
                details.compression,
            ),
            request,
        )

    intercept_unary_unary = intercept_unary_stream = intercept_stream_unary = intercept_stream_stream = _shown  # type: ignore[assignment]


def _file(variable: str) -> bytes | None:
    path = os.environ.get(variable)
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise FailedPrecondition(f"{variable}: {path} cannot be read: {error.strerror}") from error
