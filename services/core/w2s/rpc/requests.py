"""What every request must be before a method sees it: decodable and complete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Self

from google.api import field_behavior_pb2
from google.protobuf.message import Message

from w2s.errors import InvalidArgument
from w2s.rpc.decoding import Undecodable


def checked(request: Message | Undecodable) -> Message:
    """The request, when it is one.

    Raises:
        InvalidArgument: It could not be decoded, or lacks a required field; the field's path is named.
    """
    if isinstance(request, Undecodable):
        raise request.error
    check_required(request)
    return request


class CheckedRequests:
    """A stream of requests, each checked when it is read; one that is wrong ends the stream.

    Args:
        requests: The stream, as gRPC gives it.
        count: Called for each but the first, which the call itself counts for; may raise to end the stream.
    """

    def __init__(self, requests: AsyncIterator[Message | Undecodable], count: Callable[[], None]) -> None:
        self._requests, self._count = requests, count
        self._begun = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        try:
            request = await anext(self._requests)
        except StopAsyncIteration:
            # gRPC ends the stream of a caller who has gone like any other, just before it cancels the call.
            await asyncio.sleep(0.001)
            raise
        if self._begun:
            self._count()
        self._begun = True
        return checked(request)


def check_required(message: Message, path: str = "") -> None:
    """Checks that every field the protos call REQUIRED is set, however deep.

    Raises:
        InvalidArgument: One is not; the field's path is named.
    """
    for field in message.DESCRIPTOR.fields:
        name = f"{path}{field.name}"
        behaviors = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
        if field_behavior_pb2.OUTPUT_ONLY in behaviors:
            continue
        value = getattr(message, field.name)
        present = message.HasField(field.name) if field.has_presence else bool(value)
        if field_behavior_pb2.REQUIRED in behaviors and not present:
            raise InvalidArgument(name, "is required")
        if field.message_type is None or not present or field.message_type.GetOptions().map_entry:
            continue
        if field.is_repeated:
            for index, item in enumerate(value):
                check_required(item, f"{name}[{index}].")
        else:
            check_required(value, f"{name}.")
