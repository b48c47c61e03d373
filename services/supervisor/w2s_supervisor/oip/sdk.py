"""The KServe SDK: the parts that we build on, imported without its command line.

`import kserve` imports its model server, which reads sys.argv: a flag of ours that it has too would end
the process. That server is not used: it owns the process, its ports, its signals and its logs.
"""

import sys

_arguments, sys.argv = sys.argv, sys.argv[:1]
try:
    from kserve.constants.constants import (  # type: ignore[import-not-found,import-untyped]
        INFERENCE_CONTENT_LENGTH_HEADER,
    )
    from kserve.errors import (  # type: ignore[import-not-found,import-untyped]
        InvalidInput,
        ModelNotReady,
        ServerNotReady,
    )
    from kserve.model import (  # type: ignore[import-not-found,import-untyped]
        InferenceModel,
        InferenceVerb,
    )
    from kserve.model_repository import ModelRepository  # type: ignore[import-not-found,import-untyped]
    from kserve.protocol.dataplane import DataPlane  # type: ignore[import-not-found,import-untyped]
    from kserve.protocol.grpc import (  # type: ignore[import-not-found,import-untyped]
        grpc_predict_v2_pb2 as pb,
    )
    from kserve.protocol.grpc import (
        grpc_predict_v2_pb2_grpc as pb_grpc,
    )
    from kserve.protocol.grpc.servicer import InferenceServicer  # type: ignore[import-not-found,import-untyped]
    from kserve.protocol.infer_type import (  # type: ignore[import-not-found,import-untyped]
        InferInput,
        InferOutput,
        InferRequest,
        InferResponse,
        RequestedOutput,
    )
    from kserve.protocol.model_repository_extension import (  # type: ignore[import-not-found,import-untyped]
        ModelRepositoryExtension,
    )
    from kserve.protocol.rest.v1_endpoints import V1Endpoints  # type: ignore[import-not-found,import-untyped]
    from kserve.protocol.rest.v2_datamodels import (  # type: ignore[import-not-found,import-untyped]
        InferenceRequest,
        RequestInput,
    )
    from kserve.protocol.rest.v2_endpoints import V2Endpoints  # type: ignore[import-not-found,import-untyped]
finally:
    sys.argv = _arguments

__all__ = [
    "INFERENCE_CONTENT_LENGTH_HEADER",
    "DataPlane",
    "InferInput",
    "InferOutput",
    "InferRequest",
    "InferResponse",
    "InferenceModel",
    "InferenceRequest",
    "InferenceServicer",
    "InferenceVerb",
    "InvalidInput",
    "ModelNotReady",
    "ModelRepository",
    "ModelRepositoryExtension",
    "RequestInput",
    "RequestedOutput",
    "ServerNotReady",
    "V1Endpoints",
    "V2Endpoints",
    "pb",
    "pb_grpc",
]
