"""Requests that cannot be decoded, and why: to gRPC alone that is a fault of the server's.

protobuf refuses a whole message for one string that is not UTF-8 and does not say which, so the
bytes are walked once more (https://protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from w2s.errors import InvalidArgument

# As deep as protobuf itself goes.
_MAX_DEPTH = 100
# Fields after which the search is given up: it holds up every other call, for some 0.1 s at most.
_MAX_FIELDS = 20_000
_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}
_GROUPS = {3: 1, 4: -1}


@dataclass(frozen=True)
class Undecodable:
    """What stands for a request that cannot be decoded: the error to end its call with."""

    error: InvalidArgument


def decoder(deserializer: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """A method's deserializer, made to return an `Undecodable` where it would fail.

    What is not a protobuf message's `FromString` stays as it is.
    """
    message = getattr(deserializer, "__self__", None)
    if deserializer is None or not (isinstance(message, type) and issubclass(message, Message)):
        return deserializer
    descriptor = cast(Descriptor, message.DESCRIPTOR)

    def decode(data: bytes) -> Any:
        try:
            return deserializer(data)
        except DecodeError:
            return Undecodable(_Search().fault(data, descriptor))

    return decode


class _Search:
    """One search for what is wrong with a message."""

    def __init__(self) -> None:
        self._left = _MAX_FIELDS

    def fault(self, data: bytes, descriptor: Descriptor) -> InvalidArgument:
        """What is wrong with bytes that protobuf refused."""
        return self._message(memoryview(data), descriptor, "", 0) or _not_valid("request", descriptor)

    def _message(self, data: memoryview, descriptor: Descriptor, path: str, depth: int) -> InvalidArgument | None:
        if depth > _MAX_DEPTH:
            return InvalidArgument(path, f"is more than {_MAX_DEPTH} messages deep")
        entry = descriptor.GetOptions().map_entry
        seen: Counter[int] = Counter()
        try:
            for number, content in self._fields(data):
                if field := descriptor.fields_by_number.get(number):
                    place = path if entry else self._path(path, field, seen[number], content)
                    if found := self._field(field, content, place, depth):
                        return found
                    seen[number] += 1
        except ValueError:
            return _not_valid(path or "request", descriptor)
        return None

    def _field(self, field: FieldDescriptor, content: memoryview, path: str, depth: int) -> InvalidArgument | None:
        if field.type == FieldDescriptor.TYPE_STRING:
            try:
                str(content, "utf-8")
            except UnicodeDecodeError:
                return InvalidArgument(path, "is not valid UTF-8")
        if field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type:
            return self._message(content, field.message_type, path, depth + 1)
        return None

    def _path(self, path: str, field: FieldDescriptor, index: int, content: memoryview) -> str:
        """Where a field of the message at `path` is: `a.field`, `a.field[0]` or `a.field["key"]`."""
        name = f"{path}.{field.name}" if path else field.name
        if not field.is_repeated:
            return name
        entry = field.message_type is not None and field.message_type.GetOptions().map_entry
        return f"{name}[{self._key(content) if entry else index}]"

    def _key(self, entry: memoryview) -> str:
        """The key of a map's entry; `*` for one that is not a string."""
        keys = [str(content, "utf-8", "replace") for number, content in self._fields(entry) if number == 1]
        return f'"{keys[-1]}"' if keys else "*"

    def _fields(self, data: memoryview) -> Iterator[tuple[int, memoryview]]:
        """The numbers and contents of a message's length-delimited fields: strings, messages and bytes.

        Raises:
            ValueError: The bytes are no message.
        """
        at, groups = 0, 0
        while at < len(data) and self._left > 0:
            self._left -= 1
            tag, at = _varint(data, at)
            kind, size = tag & 7, _FIXED.get(tag & 7, 0)
            groups += _GROUPS.get(kind, 0)
            if kind in (_VARINT, _BYTES):
                value, at = _varint(data, at)
                size = value if kind == _BYTES else 0
            if at + size > len(data):
                raise ValueError("the bytes end within a field")
            if kind == _BYTES and not groups:
                yield tag >> 3, data[at : at + size]
            at += size


def _not_valid(path: str, descriptor: Descriptor) -> InvalidArgument:
    return InvalidArgument(path, f"is not a valid {descriptor.full_name}")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """The number at a place, and the place after it. ValueError where there is none."""
    value = 0
    for index, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError("the bytes end within a number")
