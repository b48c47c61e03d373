"""The protocol over gRPC.

Through the SDK's stubs and not its InferenceGRPCClient, which asks for no metadata, writes a traceback
to the log for each failure, and retries beyond our time and without regard to what the server says.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from w2s.errors import DeadlineExceeded, W2SError
from w2s_supervisor.backends.inference.codec import MALFORMED, output_of, request_of
from w2s_supervisor.backends.inference.remote import Metadata, Output, Tensor, error_of, not_the_protocol
from w2s_supervisor.oip.sdk import InferResponse, pb, pb_grpc

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
        parts = urlsplit(url)
        target = parts.netloc if parts.port else f"{parts.netloc}:{_PORTS[parts.scheme]}"
        if parts.scheme == "grpcs":
            credentials = grpc.ssl_channel_credentials()
            self._channel = grpc.aio.secure_channel(target, credentials, options=_OPTIONS)
        else:
            self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        self._stub = pb_grpc.GRPCInferenceServiceStub(self._channel)

    async def is_ready(self, timeout_s: float) -> bool:
        """As `Remote.is_ready`."""
        request = pb.ModelReadyRequest(name=self._model, version=self._version)
        return bool((await self._call(self._stub.ModelReady, request, timeout_s)).ready)

    async def metadata(self, timeout_s: float) -> Metadata:
        """As `Remote.metadata`."""
        request = pb.ModelMetadataRequest(name=self._model, version=self._version)
        found = await self._call(self._stub.ModelMetadata, request, timeout_s)
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
        message = await self._call(self._stub.ModelInfer, request, timeout_s)
        try:
            response = InferResponse.from_grpc(message)
        except MALFORMED as error:
            raise not_the_protocol(self._where, error) from error
        return output_of(response, output, self._where)

    async def close(self) -> None:
        """As `Remote.close`."""
        await self._channel.close()

    async def _call(self, method: Callable[..., Awaitable[Any]], request: Any, timeout_s: float) -> Any:
        token = self._token()
        headers = (("authorization", f"Bearer {token}"),) if token else ()
        try:
            return await method(request, timeout=timeout_s, metadata=headers)
        except grpc.aio.AioRpcError as error:
            raise self._error(error, token) from error

    def _error(self, error: grpc.aio.AioRpcError, token: str) -> W2SError:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded(f"{self._where} did not answer in time")
        words = f"{error.code().name}: {error.details()}"
        code: int = error.code().value[0]
        return error_of(code, words, self._where, token, _retry_after(error))


def _retry_after(error: grpc.aio.AioRpcError) -> float | None:
    """The seconds in the RetryInfo of a status, where there is one."""
    info = error_details_pb2.RetryInfo()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            with contextlib.suppress(DecodeError):
                if any(detail.Unpack(info) for detail in status_pb2.Status.FromString(value).details):
                    return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    return None
