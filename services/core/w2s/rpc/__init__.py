"""The gRPC scaffolding that every service shares."""

from typing import Any

import grpc.aio

Context = grpc.aio.ServicerContext[Any, Any]
