"""The gRPC reference, from the protos and their comments."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import google.api
import grpc_tools
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

PROTOS = Path(__file__).parents[2] / "protos"
_STANDARD = Path(grpc_tools.__file__).parent / "_proto"
_TYPES = {
    number: name.removeprefix("TYPE_").lower() for name, number in descriptor_pb2.FieldDescriptorProto.Type.items()
}
# Field numbers of the parts of a descriptor, which paths of comments are made of.
_MESSAGE, _ENUM, _SERVICE, _FIELD, _VALUE, _METHOD = 4, 5, 6, 2, 2, 2


def api_page() -> str:
    """Every service, message and enum, as Markdown."""
    lines = [
        "# gRPC API",
        "",
        "Generated from [`protos/`](../../protos); units and limits are as they stand there.",
        "",
    ]
    for file in _files():
        comments = {tuple(l.path): l.leading_comments.strip() for l in file.source_code_info.location}  # noqa: E741
        lines += [f"## {file.package}", ""]
        for index, service in enumerate(file.service):
            lines += _service(service, comments, index)
        for index, message in enumerate(file.message_type):
            lines += _message(message, comments, (_MESSAGE, index))
        for index, enum in enumerate(file.enum_type):
            lines += _enum(enum, comments, (_ENUM, index))
    return "\n".join(lines).rstrip() + "\n"


def _files() -> Iterator[descriptor_pb2.FileDescriptorProto]:
    found = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.glob("w2s/**/*.proto"))
    include = Path(next(iter(google.api.__path__))).parents[1]
    with tempfile.NamedTemporaryFile(suffix=".binpb") as image:
        flags = [
            *(f"-I{folder}" for folder in (PROTOS, include, _STANDARD)),
            "--include_source_info",
            f"--descriptor_set_out={image.name}",
        ]
        if protoc.main(["protoc", *flags, *found]):
            raise RuntimeError("the protos do not compile")
        yield from descriptor_pb2.FileDescriptorSet.FromString(Path(image.name).read_bytes()).file


def _service(
    service: descriptor_pb2.ServiceDescriptorProto, comments: dict[tuple[int, ...], str], index: int
) -> Iterator[str]:
    yield from (f"### {service.name}", "", _text(comments.get((_SERVICE, index), "")), "")
    yield from ("| method | request | response | |", "|---|---|---|---|")
    for number, method in enumerate(service.method):
        request = f"{'stream ' if method.client_streaming else ''}{_short(method.input_type)}"
        response = f"{'stream ' if method.server_streaming else ''}{_short(method.output_type)}"
        said = _cell(comments.get((_SERVICE, index, _METHOD, number), ""))
        yield f"| `{method.name}` | {request} | {response} | {said} |"
    yield ""


def _message(
    message: descriptor_pb2.DescriptorProto, comments: dict[tuple[int, ...], str], path: tuple[int, ...]
) -> Iterator[str]:
    yield from (f"### {message.name}", "", _text(comments.get(path, "")), "")
    if not message.field:
        return
    yield from ("| field | type | |", "|---|---|---|")
    entries = {f".{entry.name}": entry for entry in message.nested_type if entry.options.map_entry}
    for number, field in enumerate(message.field):
        yield f"| `{field.name}` | {_type(field, entries)} | {_cell(comments.get((*path, _FIELD, number), ''))} |"
    yield ""


def _enum(
    enum: descriptor_pb2.EnumDescriptorProto, comments: dict[tuple[int, ...], str], path: tuple[int, ...]
) -> Iterator[str]:
    yield from (f"### {enum.name}", "", _text(comments.get(path, "")), "", "| value | |", "|---|---|")
    for number, value in enumerate(enum.value):
        yield f"| `{value.name}` | {_cell(comments.get((*path, _VALUE, number), ''))} |"
    yield ""


def _type(field: descriptor_pb2.FieldDescriptorProto, entries: dict[str, descriptor_pb2.DescriptorProto]) -> str:
    for suffix, entry in entries.items():
        if field.type_name.endswith(suffix):
            key, value = entry.field
            return f"map of {_type(key, {})} to {_type(value, {})}"
    name = _short(field.type_name) if field.type_name else _TYPES[field.type]
    repeated = field.label == descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
    return f"repeated {name}" if repeated else name


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _text(comment: str) -> str:
    return " ".join(comment.split())


def _cell(comment: str) -> str:
    return _text(comment).replace("|", "\\|")
