# The SDK ships no types.
# mypy: disallow-subclassing-any=False
"""Reads the bodies of HTTP requests."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import ValidationError

from w2s.errors import InvalidArgument
from w2s_supervisor.oip.sdk import (
    INFERENCE_CONTENT_LENGTH_HEADER,
    InferenceRequest,
    InferInput,
    InferRequest,
    RequestedOutput,
    RequestInput,
)

# Of a length: Python refuses to read a number of thousands.
_MAX_DIGITS = 20


class _Input(RequestInput):
    """An input whose data may be bytes after the JSON (the binary extension)."""

    data: list[Any] | None = None


class _Request(InferenceRequest):
    inputs: list[_Input]


def payload_of(body: bytes) -> Any:
    """A body of JSON; InvalidArgument where it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidArgument("body", f"is not JSON: {error}") from None


def infer_request_of(body: bytes, json_bytes: str | None, model: str, version: str) -> InferRequest:
    """A body as an inference request of protocol v2.

    Args:
        body: JSON, and after it the bytes of binary inputs.
        json_bytes: The length of the JSON, as the request's header gives it; None for all.
        model: The model's name.
        version: The version that is asked for; empty for any.

    Raises:
        InvalidArgument: It is malformed; the field is named.
    """
    length = _length(json_bytes, body)
    try:
        parsed = _Request.model_validate_json(body[:length])
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]]
        raise InvalidArgument("".join(parts).strip(".") or "body", problem["msg"]) from None
    inputs = []
    for tensor in parsed.inputs:
        raw, length = _raw(tensor, body, length)
        inputs.append(InferInput(tensor.name, tensor.shape, tensor.datatype, tensor.data, tensor.parameters))
        inputs[-1]._raw_data = raw
    return InferRequest(
        model,
        inputs,
        parsed.id,
        parameters=parsed.parameters,
        request_outputs=[RequestedOutput(one.name, one.parameters) for one in parsed.outputs or ()] or None,
        model_version=version,
    )


def _length(json_bytes: str | None, body: bytes) -> int:
    if json_bytes is None:
        return len(body)
    if not json_bytes.isdecimal() or len(json_bytes) > _MAX_DIGITS or int(json_bytes) > len(body):
        raise InvalidArgument(INFERENCE_CONTENT_LENGTH_HEADER, f"must be a number up to {len(body)}")
    return int(json_bytes)


def _raw(tensor: _Input, body: bytes, start: int) -> tuple[bytes | None, int]:
    """The bytes of an input that has no data in the JSON, and where the next one's begin."""
    if tensor.data is not None:
        return None, start
    size = (tensor.parameters or {}).get("binary_data_size")
    if not isinstance(size, int) or not 0 <= size <= len(body) - start:
        raise InvalidArgument(tensor.name, "has no data, nor a binary_data_size within the body")
    return body[start : start + size], start + size
