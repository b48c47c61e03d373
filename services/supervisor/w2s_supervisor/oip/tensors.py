"""Between the tensors of protocol v2 and the texts and arrays of questions."""

from __future__ import annotations

import json
import struct
from typing import Any

from w2s.errors import InvalidArgument
from w2s_supervisor.oip.forms import Columns, Form, Outputs, check_inputs
from w2s_supervisor.oip.sdk import InferInput, InferOutput, InferRequest, InferResponse
from w2s_supervisor.teachers import Teacher


def columns_of(request: InferRequest, form: Form) -> Columns:
    """A request's texts.

    Raises:
        InvalidArgument: An input is missing, unknown or malformed; it is named, with the index of the text.
    """
    check_inputs(form, [tensor.name for tensor in request.inputs])
    texts = {tensor.name: _texts(tensor) for tensor in request.inputs}
    count = len(texts[form.required[0]])
    for name, column in texts.items():
        if len(column) != count:
            raise InvalidArgument(name, f"has {len(column)} texts, and {form.required[0]} {count}")
    return Columns(texts, lambda name, index: f"{name}[{index}]")


def response_of(request: InferRequest, form: Form, teacher: Teacher, outputs: Outputs) -> InferResponse:
    """Outputs as the response to a request, which says who gave them.

    Raises:
        InvalidArgument: The request asks for an output that there is not.
    """
    described = {tensor.name: tensor for tensor in form.outputs(teacher)}
    asked = [output.name for output in request.request_outputs or ()] or list(described)
    for name in asked:
        if name not in described:
            raise InvalidArgument(f"outputs.{name}", f"is not known; the outputs are {', '.join(described)}")
    return InferResponse(
        response_id=request.id or "",
        model_name=request.model_name,
        model_version=teacher.digest,
        infer_outputs=[_output(outputs, described[name].datatype, name, teacher, request) for name in asked],
        use_binary_outputs=request.use_binary_outputs,
        requested_outputs=request.request_outputs,
        parameters={"teacher": teacher.name, "revision": teacher.revision, "digest": teacher.digest},
    )


def _texts(tensor: InferInput) -> list[str]:
    name, shape = tensor.name, tensor.shape
    if tensor.datatype != "BYTES":
        raise InvalidArgument(name, f"must be BYTES, got {tensor.datatype}")
    if len(shape) != 1 or shape[0] < 1:
        raise InvalidArgument(name, f"must have shape [N] with N >= 1, got {list(shape)}")
    try:
        values = tensor.as_numpy().tolist()
    except (ValueError, struct.error):
        raise InvalidArgument(name, f"the data do not fill the shape {list(shape)}") from None
    return [_text(value, f"{name}[{index}]") for index, value in enumerate(values)]


def _text(value: Any, place: str) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise InvalidArgument(place, "is not valid UTF-8") from None
    if not isinstance(value, str):
        raise InvalidArgument(place, "must be a string")
    return value


def _output(outputs: Outputs, datatype: str, name: str, teacher: Teacher, request: InferRequest) -> InferOutput:
    array = outputs[name]
    # The one place of the protocol for the names of its classes.
    parameters = {"label_names": json.dumps(teacher.label_names)} if name == "probabilities" else {}
    output = InferOutput(name, list(array.shape), datatype, parameters=parameters)
    output.set_data_from_numpy(array, binary_data=request.from_grpc and request.use_binary_outputs)
    return output
