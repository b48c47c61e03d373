"""Requests and responses in the KServe SDK's types, which know every way to write a tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from w2s.errors import FailedPrecondition
from w2s_supervisor.backends.inference.remote import Output, not_the_protocol
from w2s_supervisor.oip.sdk import InferInput, InferRequest, InferResponse, RequestedOutput

_FLOATS = ("FP16", "FP32", "FP64")
# What the SDK raises where an answer is malformed.
MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)


def request_of(model: str, version: str, inputs: Mapping[str, Sequence[str]], output: str) -> InferRequest:
    """A request for one output of texts."""
    tensors = [InferInput(name, [len(texts)], "BYTES", list(texts)) for name, texts in inputs.items()]
    return InferRequest(model, tensors, request_outputs=[RequestedOutput(output)], model_version=version)


def output_of(response: InferResponse, name: str, where: str) -> Output:
    """One output of a response.

    Raises:
        FailedPrecondition: There is none, or it holds no floating-point numbers.
    """
    tensor = response.get_output_by_name(name)
    if tensor is None:
        found = ", ".join(output.name for output in response.outputs)
        raise FailedPrecondition(f"{where}: the answer has no output {name}, only {found}")
    if tensor.datatype not in _FLOATS:
        raise FailedPrecondition(f"{where}: output {name} is {tensor.datatype}, not one of {', '.join(_FLOATS)}")
    try:
        values = tensor.as_numpy()
    except MALFORMED as error:
        raise not_the_protocol(where, error) from error
    return Output(np.asarray(values, dtype=np.float64), response.model_version or "")
