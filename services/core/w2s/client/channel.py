"""Channels to the services."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import grpc
import grpc.aio

from w2s.client.credentials import Bearer, channel_credentials, channel_files
from w2s.client.naming import Named
from w2s.errors import FailedPrecondition
from w2s.rpc.watched import WatchedFile

C = TypeVar("C")

# Only UNAVAILABLE is retried: every call of ours that makes something is idempotent by a request_id; see `naming`.
_SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                "waitForReady": True,
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }
)
_SERVICES = ("supervisor", "trainer", "evaluator")
_OPTIONS = [
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_send_message_length", 16 << 20),
]


@dataclass(frozen=True)
class Endpoints:
    """Where the services are, as gRPC targets such as `dns:///trainer.w2s.svc:50051`."""

    supervisor: str
    trainer: str
    evaluator: str

    @classmethod
    def from_environment(cls, needed: Sequence[str] = _SERVICES) -> Endpoints:
        """Reads W2S_SUPERVISOR_ADDRESS, W2S_TRAINER_ADDRESS and W2S_EVALUATOR_ADDRESS.

        Args:
            needed: The services that must have one; that of another may be empty.

        Raises:
            FailedPrecondition: One that is needed is not set.
        """
        found = {service: os.environ.get(_variable(service), "") for service in _SERVICES}
        missing = [service for service in needed if not found[service]]
        if missing:
            raise FailedPrecondition(
                f"set {_both(map(_variable, missing))} to the services' addresses; the command takes them also as "
                f"{_both(f'--{service}' for service in missing)}, or from its file of settings, as `w2s up` writes one"
            )
        return cls(**found)

    def environment(self) -> dict[str, str]:
        """The variables that `from_environment` reads."""
        return {_variable(service): target for service, target in vars(self).items()}


def _variable(service: str) -> str:
    return f"W2S_{service.upper()}_ADDRESS"


def _both(names: Iterable[str]) -> str:
    return " and ".join(names)


def artifact_root() -> str:
    """Reads W2S_ARTIFACT_ROOT, the store that the services share.

    Raises:
        FailedPrecondition: It is not set.
    """
    root = os.environ.get("W2S_ARTIFACT_ROOT")
    if not root:
        raise FailedPrecondition("set W2S_ARTIFACT_ROOT to the artifact store that the services share")
    return root


@contextmanager
def connect(target: str) -> Iterator[grpc.Channel]:
    """A channel that waits for its server, retries what may be retried, and is closed at the end.

    It speaks TLS and shows a token where the environment says so; see `w2s.client.credentials`. When a
    certificate or CA is renewed, the next call is made with the new one; those in flight end as they began. A request
    to make something gets a `request_id` where it has none, so that a retry does not make it twice.

    Raises:
        FailedPrecondition: The environment names a file that cannot be read.
    """
    channel = _Renewed(renewed(partial(_channel, target)))
    try:
        yield grpc.intercept_channel(cast(grpc.Channel, channel), Bearer(), Named())
    finally:
        channel.close()


class _Renewed:
    """The channel of the moment: interceptors ask for its methods at each call."""

    def __init__(self, channel: WatchedFile[grpc.Channel]) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel.current(), name)


def renewed(open_: Callable[[], C]) -> WatchedFile[C]:
    """A channel, and another once a file of its credentials has changed. One is closed when no call has it any more.

    Args:
        open_: Opens it, with the credentials that there are.

    Raises:
        FailedPrecondition: As `connect`.
    """
    # Names what is wrong as clients do.
    channel_credentials()
    return WatchedFile(channel_files(), open_, "W2S_SERVER_CA_FILE")


def _channel(target: str) -> grpc.Channel:
    credentials = channel_credentials()
    if credentials is None:
        return grpc.insecure_channel(target, options=_OPTIONS)
    return grpc.secure_channel(target, credentials, options=_OPTIONS)


def open_channel(target: str, options: Sequence[tuple[str, Any]]) -> WatchedFile[grpc.aio.Channel]:
    """The channel of the moment of an event loop, with options of its own; its calls show `bearer()` themselves.

    Raises:
        FailedPrecondition: As `connect`.
    """
    return renewed(partial(_loop_channel, target, options))


def _loop_channel(target: str, options: Sequence[tuple[str, Any]]) -> grpc.aio.Channel:
    credentials = channel_credentials()
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, credentials, options=options)


def rpc_error(error: grpc.RpcError) -> str:
    """A failed call in one line: its status and message."""
    if isinstance(error, grpc.Call):
        return f"{error.code().name}: {error.details()}"
    return str(error)
