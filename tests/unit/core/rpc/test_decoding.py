from __future__ import annotations

import pytest
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, struct_pb2, wrappers_pb2
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from w2s.common.v1 import common_pb2 as pb
from w2s.rpc.decoding import Undecodable, decoder
from w2s.supervisor.v1 import supervisor_pb2

# Stands for bytes that are not UTF-8 in a message that protobuf is to write; ever so long as these.
BAD, BYTES = "\x01BAD\x01", b"ok\xff\xfe!"
LABEL = supervisor_pb2.LabelRequest


def example_of(**fields):
    return pb.Example(**{"id": "1", "text": "a", **fields})


def spoiled(message) -> bytes:
    data = message.SerializeToString()
    assert BAD.encode() in data
    return data.replace(BAD.encode(), BYTES)


def struct(**content) -> struct_pb2.Struct:
    found = struct_pb2.Struct()
    found.update(content)
    return found


def fault(message, data: bytes) -> tuple[str, str]:
    """The field that is wrong with a message's bytes, and how."""
    found = decoder(message.FromString)(data)
    assert isinstance(found, Undecodable)
    return found.error.field, found.error.problem


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (LABEL(examples=[example_of()], teacher=BAD), "teacher"),
        (LABEL(examples=[*[example_of()] * 3, example_of(text=BAD)]), "examples[3].text"),
        (LABEL(examples=[example_of(id=BAD), example_of(text=BAD)]), "examples[0].id"),
        # A oneof of strings, lists and maps in each other.
        (struct_pb2.Value(string_value=BAD), "string_value"),
        (struct(a=1, b=["c", {"d": BAD}]), 'fields["b"].list_value.values[1].struct_value.fields["d"].string_value'),
        (struct(**{"a": 1, BAD: 2}), f'fields["{BYTES.decode(errors="replace")}"]'),
        (pb.Progress(metrics={"loss": 1, BAD: 2}), f'metrics["{BYTES.decode(errors="replace")}"]'),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_the_path_of_a_string_that_is_not_utf8_is_named(message, path):
    assert fault(type(message), spoiled(message)) == (path, "is not valid UTF-8")


def test_a_string_that_is_overwritten_counts_as_well():
    data = spoiled(struct_pb2.Value(string_value=BAD)) + struct_pb2.Value(bool_value=True).SerializeToString()
    assert fault(struct_pb2.Value, data) == ("string_value", "is not valid UTF-8")


@pytest.mark.parametrize(
    "before",
    [
        b"\x10\x07",  # teacher as a number, which protobuf takes for a field that it does not know
        b"\x7a\x01\xff",  # the unknown field 15
        b"\x7b\x12\x01\xff\x7c",  # an unknown group 15 with a field 2
        b"\x79ABCDEFGH\x7dABCD",  # fixed numbers
    ],
    ids=["another type", "unknown", "group", "fixed"],
)
def test_what_protobuf_does_not_know_is_passed_over(before):
    assert fault(LABEL, before + spoiled(LABEL(required_digest=BAD))) == ("required_digest", "is not valid UTF-8")


def test_keys_of_maps_that_are_no_strings_are_not_shown():
    file = descriptor_pb2.FileDescriptorProto(name="test.proto", package="test", syntax="proto3")
    file.message_type.add(name="Table").field.add(
        name="rows", number=1, label="LABEL_REPEATED", type="TYPE_MESSAGE", type_name=".test.Table.RowsEntry"
    )
    entry = file.message_type[0].nested_type.add(name="RowsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label="LABEL_OPTIONAL", type="TYPE_INT32")
    entry.field.add(name="value", number=2, label="LABEL_OPTIONAL", type="TYPE_STRING")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    table = message_factory.GetMessageClass(pool.FindMessageTypeByName("test.Table"))
    assert fault(table, spoiled(table(rows={7: BAD}))) == ("rows[*]", "is not valid UTF-8")


WHOLE = LABEL(examples=[example_of(text="a text")], teacher="teachers/a").SerializeToString()


@pytest.mark.parametrize(
    ("data", "field", "name"),
    [
        (WHOLE[:-1], "request", "w2s.supervisor.v1.LabelRequest"),
        (b"\xff", "request", "w2s.supervisor.v1.LabelRequest"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "request", "w2s.supervisor.v1.LabelRequest"),
        # The second example's text is said to be longer than the example.
        (WHOLE + b"\x0a\x04\x12\x05ab", "examples[1]", "w2s.common.v1.Example"),
    ],
    ids=["cut off", "no length", "no number", "within a field"],
)
def test_what_is_no_message_is_called_so(data, field, name):
    assert fault(LABEL, data) == (field, f"is not a valid {name}")


def field(number: int, content: bytes) -> bytes:
    """A field as it is on the wire; protobuf itself writes none that is too deep."""
    return bytes([number << 3 | 2]) + wrappers_pb2.BytesValue(value=content).SerializeToString()[1:]


def nested(levels: int) -> bytes:
    """A value within so many lists."""
    found = struct_pb2.Value(bool_value=True).SerializeToString()
    for _ in range(levels):
        found = field(struct_pb2.Value.LIST_VALUE_FIELD_NUMBER, field(struct_pb2.ListValue.VALUES_FIELD_NUMBER, found))
    return found


def test_messages_may_be_as_deep_as_protobuf_allows():
    assert isinstance(decoder(struct_pb2.Value.FromString)(nested(50)), struct_pb2.Value)
    for levels in (51, 1000):
        path, problem = fault(struct_pb2.Value, nested(levels))
        assert path == ".".join(["list_value.values[0]"] * 50) + ".list_value"
        assert problem == "is more than 100 messages deep"


def test_the_search_ends_in_messages_of_very_many_fields():
    for filler in (b"\x10\x00", b"\x0a\x00", b"\x0a\x02\x0a\x00"):
        assert fault(LABEL, filler * 1_000_000 + b"\x12\x01\xff") == (
            "request",
            "is not a valid w2s.supervisor.v1.LabelRequest",
        )


def test_bytes_need_not_be_utf8():
    message = any_pb2.Any(type_url="a", value=b"\xff")
    assert decoder(any_pb2.Any.FromString)(message.SerializeToString()) == message


def test_what_is_no_message_type_is_left_alone():
    assert decoder(None) is None
    assert decoder(bytes.upper) is bytes.upper


TEXTS = st.text(max_size=8)
EXAMPLES = st.builds(pb.Example, id=TEXTS, text=TEXTS, text_pair=TEXTS)
REQUESTS = st.builds(LABEL, examples=st.lists(EXAMPLES, max_size=4), teacher=TEXTS, required_digest=TEXTS)


@given(REQUESTS, st.data())
def test_any_one_string_is_found(request_, data):
    index = data.draw(st.integers(-1, len(request_.examples) - 1))
    field = data.draw(st.sampled_from(["id", "text", "text_pair"] if index >= 0 else ["teacher", "required_digest"]))
    setattr(request_.examples[index] if index >= 0 else request_, field, BAD)
    path = f"examples[{index}].{field}" if index >= 0 else field
    assert fault(LABEL, spoiled(request_)) == (path, "is not valid UTF-8")


@st.composite
def mutated(draw, messages):
    """The bytes of a message with a few of them cut, changed or put in."""
    data = bytearray(draw(messages).SerializeToString())
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


def exists(path: str, descriptor) -> bool:
    """Whether a message has a field at a path."""
    for step in path.split("."):
        field = descriptor.fields_by_name[step.split("[")[0]]
        assert field.is_repeated == ("[" in step)
        descriptor = field.message_type
    return True


@given(mutated(REQUESTS) | st.binary(max_size=40))
@example(b"\x00")
@example(b"\x0b\x0c")
def test_bytes_are_refused_just_where_protobuf_refuses_them(data):
    found = decoder(LABEL.FromString)(data)
    try:
        assert found == LABEL.FromString(data)
    except DecodeError:
        assert isinstance(found, Undecodable)
        assert found.error.field == "request" or exists(found.error.field, LABEL.DESCRIPTOR)


JSON = st.recursive(st.none() | st.booleans() | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner))


@given(mutated(st.builds(lambda content: struct(a=content), JSON)) | st.binary(max_size=40))
def test_maps_and_deep_messages_are_refused_just_where_protobuf_refuses_them(data):
    found = decoder(struct_pb2.Struct.FromString)(data)
    try:
        assert found == struct_pb2.Struct.FromString(data)
    except DecodeError:
        assert isinstance(found, Undecodable)
        assert found.error.field == "request" or found.error.field.startswith("fields[")
