"""Finds models on servers of the protocol, and says who they are."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from dataclasses import asdict
from urllib.parse import urlsplit

from w2s.errors import FailedPrecondition, InvalidArgument, Unavailable
from w2s_supervisor.backends.digest import digest_of
from w2s_supervisor.backends.inference.answers import InferenceAnswers
from w2s_supervisor.backends.inference.remote import Metadata, Remote, Tensor
from w2s_supervisor.backends.inference.retries import retried
from w2s_supervisor.backends.protocol import Ability, Backend, Identity
from w2s_supervisor.endpoints import Endpoints
from w2s_supervisor.spec import InferenceBackend

_TRANSPORTS = {
    "grpc": ("over_grpc", "GrpcRemote"),
    "grpcs": ("over_grpc", "GrpcRemote"),
    "http": ("over_http", "HttpRemote"),
    "https": ("over_http", "HttpRemote"),
}


class InferenceOpener:
    """Knows the teachers behind the Open Inference Protocol.

    Args:
        endpoints: The servers that may be asked.
        on_error: Told each failed request's kind, such as `unavailable`.
        max_waiting: Rows that may wait for one server.
    """

    def __init__(self, endpoints: Endpoints, on_error: Callable[[str], None], max_waiting: int = 1024) -> None:
        self._endpoints = endpoints
        self._on_error = on_error
        self._max_waiting = max_waiting

    async def identify(self, spec: InferenceBackend, field: str) -> Identity:
        """As `Opener.identify`: the server's word about the model, and how it is asked."""
        remote = await self._connect(spec, field)
        try:
            return _identity(spec, await self._metadata(remote, spec, field))
        finally:
            await remote.close()

    async def open(self, spec: InferenceBackend, identity: Identity) -> Backend:
        """As `Opener.open`."""
        remote = await self._connect(spec, "spec.inference")
        try:
            metadata = await self._metadata(remote, spec, "spec.inference")
            if _identity(spec, metadata).digest != identity.digest:
                raise FailedPrecondition(
                    f"model {spec.model} at {spec.url} is another now than it was when the teacher was registered; "
                    "register another teacher"
                )
        except BaseException:
            await remote.close()
            raise
        return InferenceAnswers(remote, spec, _version(spec, metadata), self._on_error, self._max_waiting)

    async def _connect(self, spec: InferenceBackend, field: str) -> Remote:
        url = await self._endpoints.reach(spec.url, f"{field}.url")
        parts = urlsplit(url)
        module, name = _TRANSPORTS[parts.scheme]
        if parts.path and parts.scheme in ("grpc", "grpcs"):
            raise InvalidArgument(f"{field}.url", "must have no path, for gRPC has none")
        # The SDK takes a second to import, and is needed for these teachers only.
        transport = getattr(await asyncio.to_thread(importlib.import_module, f"{__package__}.{module}"), name)
        remote: Remote = transport(url, spec.model, spec.model_version, lambda: self._endpoints.token(spec.credential))
        return remote

    async def _metadata(self, remote: Remote, spec: InferenceBackend, field: str) -> Metadata:
        if not await retried(remote.is_ready, spec.timeout_s, self._on_error):
            raise Unavailable(f"model {spec.model} at {spec.url} is not ready; load it there first")
        metadata = await retried(remote.metadata, spec.timeout_s, self._on_error)
        _check(spec, metadata, field)
        return metadata


def _check(spec: InferenceBackend, metadata: Metadata, field: str) -> None:
    """Checks a spec against what the server says, where it says anything."""
    if spec.model_version and metadata.versions and spec.model_version not in metadata.versions:
        raise InvalidArgument(f"{field}.model_version", f"the server has {', '.join(metadata.versions)}")
    for name, attribute in ((spec.text_input, "text_input"), (spec.pair_input, "pair_input")):
        if name and metadata.inputs:
            tensor = _named(metadata.inputs, name, f"{field}.{attribute}")
            if tensor.datatype != "BYTES":
                raise InvalidArgument(f"{field}.{attribute}", f"is {tensor.datatype} on the server, not BYTES")
    if not metadata.outputs:
        return
    output = _named(metadata.outputs, spec.output, f"{field}.output")
    if not output.datatype.startswith("FP"):
        raise InvalidArgument(f"{field}.output", f"is {output.datatype} on the server, not floating-point")
    if output.shape and output.shape[-1] not in (-1, len(spec.label_names)):
        raise InvalidArgument(
            f"{field}.label_names", f"are {len(spec.label_names)}, and the output's shape is {list(output.shape)}"
        )


def _named(tensors: tuple[Tensor, ...], name: str, field: str) -> Tensor:
    for tensor in tensors:
        if tensor.name == name:
            return tensor
    raise InvalidArgument(field, f"the model has no {name}, only {', '.join(tensor.name for tensor in tensors)}")


def _version(spec: InferenceBackend, metadata: Metadata) -> str:
    """The version that must answer; empty where it is the server's choice among several, or it has none."""
    only = metadata.versions[0] if len(metadata.versions) == 1 else ""
    return spec.model_version or only


def _identity(spec: InferenceBackend, metadata: Metadata) -> Identity:
    # Where the server is and how it is reached decides no answer.
    asked = spec.model_dump(mode="json", exclude={"url", "timeout_s", "credential"})
    return Identity(
        revision=spec.model_version or ",".join(metadata.versions) or "unversioned",
        digest=digest_of({"metadata": asdict(metadata), "asked": asked}),
        label_names=spec.label_names,
        abilities=frozenset({Ability.LABEL}),
    )
