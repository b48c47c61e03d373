"""Gives each request that makes something a name of its own, so that asking again makes nothing twice."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import grpc

_FIELD = "request_id"


class Named(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """Fills in a `request_id` that is empty; see `grpc.intercept_channel`.

    A connection may break after a server has done what it was asked for and before it has said
    so. The channel asks again, below this, with the same id, and is told of what was made.
    """

    def intercept_unary_unary(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
        """The call, with a request that has an id."""
        if _FIELD in request.DESCRIPTOR.fields_by_name and not request.request_id:
            # The caller's own stays as it is: sent once more, it asks for another.
            named = type(request)()
            named.CopyFrom(request)
            named.request_id = uuid.uuid4().hex
            request = named
        return continuation(details, request)
