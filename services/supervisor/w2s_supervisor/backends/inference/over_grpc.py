"""The protocol over gRPC.

Through the SDK's stubs and not its InferenceGRPCClient, which asks for no metadata, writes a traceback
to the log for each failure, and retries beyond our time and without regard to what the server says.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from w2s.errors import DeadlineExceeded, Unavailable, W2SError
from w2s_supervisor.backends.inference.codec import MALFORMED, output_of, request_of
from w2s_supervisor.backends.inference.remote import Metadata, Output, Tensor, error_of, not_the_protocol
from w2s_supervisor.oip.sdk import InferResponse, pb, pb_grpc
from w2s_supervisor.peers import checked

_CHANNELS = 2
_PORTS = {"grpc": 80, "grpcs": 443}
_OPTIONS = [
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.enable_retries", 0),
    # Ours come sooner than gRPC's own pauses between connections end.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
]


class GrpcRemote:
    """A model on a gRPC server; see `Remote`.

    Args:
        url: `grpc://host:port` or `grpcs://host:port`.
        model: Its name there.
        version: Its version there; empty for the server's choice.
        token: The bearer token, asked for each request; empty for none.
    """

    def __init__(self, url: str, model: str, version: str, token: Callable[[], str]) -> None:
        self._where = f"model {model} at {url}"
        self._model = model
        self._version = version
        self._token = token
        self._dialer = _Dialer(url)

    async def is_ready(self, timeout_s: float) -> bool:
        """As `Remote.is_ready`."""
        request = pb.ModelReadyRequest(name=self._model, version=self._version)
        return bool((await self._call("ModelReady", request, timeout_s)).ready)

    async def metadata(self, timeout_s: float) -> Metadata:
        """As `Remote.metadata`."""
        request = pb.ModelMetadataRequest(name=self._model, version=self._version)
        found = await self._call("ModelMetadata", request, timeout_s)
        return Metadata(
            name=found.name,
            versions=tuple(found.versions),
            platform=found.platform,
            inputs=tuple(Tensor(one.name, one.datatype, tuple(one.shape)) for one in found.inputs),
            outputs=tuple(Tensor(one.name, one.datatype, tuple(one.shape)) for one in found.outputs),
            # KServe's protos have no place for them.
            properties={},
        )

    async def infer(self, inputs: Mapping[str, Sequence[str]], output: str, timeout_s: float) -> Output:
        """As `Remote.infer`."""
        request = request_of(self._model, self._version, inputs, output).to_grpc()
        message = await self._call("ModelInfer", request, timeout_s)
        try:
            response = InferResponse.from_grpc(message)
        except MALFORMED as error:
            raise not_the_protocol(self._where, error) from error
        return output_of(response, output, self._where)

    async def close(self) -> None:
        """As `Remote.close`."""
        await self._dialer.close()

    async def _call(self, method: str, request: Any, timeout_s: float) -> Any:
        token = self._token()
        headers = (("authorization", f"Bearer {token}"),) if token else ()
        try:
            stub = pb_grpc.GRPCInferenceServiceStub(await self._dialer.channel())
            return await getattr(stub, method)(request, timeout=timeout_s, metadata=headers)
        except OSError as error:
            raise Unavailable(f"{self._where} cannot be reached: its host has no address") from error
        except grpc.aio.AioRpcError as error:
            self._dialer.lost |= error.code() is grpc.StatusCode.UNAVAILABLE
            raise self._error(error, token) from error

    def _error(self, error: grpc.aio.AioRpcError, token: str) -> W2SError:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded(f"{self._where} did not answer in time")
        words = f"{error.code().name}: {error.details()}"
        code: int = error.code().value[0]
        return error_of(code, words, self._where, token, _retry_after(error))


class _Dialer:
    """Connects to a host's addresses, which it looks up and checks itself: gRPC would do so again, unchecked.

    Args:
        url: The server's.

    Attributes:
        lost: The server was away: its addresses may be others now.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        self._options = [*_OPTIONS, ("grpc.default_authority", parts.netloc)]
        self._credentials = grpc.ssl_channel_credentials() if parts.scheme == "grpcs" else None
        self._target = ""
        self._channels: list[grpc.aio.Channel] = []
        self._lock = asyncio.Lock()
        self.lost = True

    async def channel(self) -> grpc.aio.Channel:
        """A channel to the host's addresses, as they were when the server was last away.

        Raises:
            FailedPrecondition: One of them is no teacher's.
            OSError: It has none, and never had.
        """
        async with self._lock:
            if self.lost:
                await self._look_again()
        return self._channels[-1]

    async def _look_again(self) -> None:
        try:
            target = _target(await checked(self._host), self._port)
        except OSError:
            if not self._channels:
                raise
            return
        self.lost = False
        if target != self._target:
            self._target = target
            self._channels.append(self._opened(target))
            # The one before it may have calls to end.
            while len(self._channels) > _CHANNELS:
                await self._channels.pop(0).close()

    async def close(self) -> None:
        """Closes the channels."""
        for channel in self._channels:
            await channel.close()

    def _opened(self, target: str) -> grpc.aio.Channel:
        if self._credentials is None:
            return grpc.aio.insecure_channel(target, options=self._options)
        return grpc.aio.secure_channel(target, self._credentials, options=self._options)


def _target(addresses: Sequence[str], port: int) -> str:
    """Addresses as gRPC takes them: all of one family, IPv4 where there is any."""
    four = [f"{address}:{port}" for address in addresses if ":" not in address]
    return "ipv4:" + ",".join(four) if four else "ipv6:" + ",".join(f"[{one}]:{port}" for one in addresses)


def _retry_after(error: grpc.aio.AioRpcError) -> float | None:
    """The seconds in the RetryInfo of a status, where there is one."""
    info = error_details_pb2.RetryInfo()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            with contextlib.suppress(DecodeError):
                if any(detail.Unpack(info) for detail in status_pb2.Status.FromString(value).details):
                    return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    return None
