# The SDK ships no types.
# mypy: disallow-subclassing-any=False
"""Protocol v2 over gRPC: the KServe SDK's servicer, with what is wrong in it put right."""

from __future__ import annotations

import grpc.aio

from w2s.errors import InvalidArgument
from w2s.rpc import Context
from w2s_supervisor.limits import Limits
from w2s_supervisor.oip.desk import Desk
from w2s_supervisor.oip.models import TeacherPlane, TeacherRepositoryExtension
from w2s_supervisor.oip.sdk import InferenceServicer, InvalidInput, pb, pb_grpc


class OipServicer(InferenceServicer):
    """The gRPC face of the protocol.

    The SDK's servicer leaves out versions and platforms, and cannot answer a load or an unload.
    """

    def __init__(self, plane: TeacherPlane, extension: TeacherRepositoryExtension) -> None:
        super().__init__(plane, extension)
        self._plane = plane
        self._extension = extension

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Context) -> pb.ModelReadyResponse:
        return pb.ModelReadyResponse(ready=await self._plane.model_ready(request.name, version=request.version))

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Context) -> pb.ModelMetadataResponse:
        facts = await self._plane.model_metadata(request.name, request.version)
        del facts["properties"]
        return pb.ModelMetadataResponse(**facts)

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Context) -> pb.ModelInferResponse:
        for tensor in request.inputs:
            if tensor.datatype.upper() != "BYTES":
                raise InvalidArgument(tensor.name, f"must be BYTES, got {tensor.datatype}")
        try:
            return await super().ModelInfer(request, context)
        except InvalidInput as error:
            raise InvalidArgument("raw_input_contents", error.reason) from error

    async def RepositoryModelLoad(
        self, request: pb.RepositoryModelLoadRequest, context: Context
    ) -> pb.RepositoryModelLoadResponse:
        await self._extension.load(request.model_name)
        return pb.RepositoryModelLoadResponse(model_name=request.model_name, isLoaded=True)

    async def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, context: Context
    ) -> pb.RepositoryModelUnloadResponse:
        await self._extension.unload(request.model_name)
        return pb.RepositoryModelUnloadResponse(model_name=request.model_name, isUnloaded=True)


def add_oip(server: grpc.aio.Server, desk: Desk, limits: Limits) -> None:
    """Adds the protocol's service to a server that is not started yet.

    Args:
        server: A server whose interceptors turn W2SErrors into statuses.
        desk: Where teachers are asked.
        limits: How much a request may carry.
    """
    plane = TeacherPlane(desk, limits)
    servicer = OipServicer(plane, TeacherRepositoryExtension(plane.repository))
    pb_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
