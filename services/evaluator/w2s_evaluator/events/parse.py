"""Reads the two CloudEvents that KServe's payload logger sends of each inference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from cloudevents.exceptions import GenericException
from cloudevents.http import CloudEvent, from_http

from w2s.database import utc
from w2s.errors import InvalidArgument

_MAX_ID = 200
# Of a namespace, and of a resource in it.
_MAX_NAME = 253


class Side(StrEnum):
    """Which of the two events it is, by its type."""

    REQUEST = "request"
    RESPONSE = "response"


_SIDES = {f"org.kubeflow.serving.inference.{side}": side for side in Side}


@dataclass(frozen=True)
class Half:
    """A request or a response of an inference; the two have one id.

    Attributes:
        service: The InferenceService, `namespace/name`.
        id: The inference's id.
        side: Which of the two it is.
        time: When the event was made, UTC; None where it does not say.
        body: What was asked or answered, parsed from JSON.
    """

    service: str
    id: str
    side: Side
    time: datetime | None
    body: Any


def half_of(headers: Mapping[str, str], body: bytes) -> Half:
    """An HTTP request as one of the two events; CloudEvents 1.0 in binary or structured mode.

    Raises:
        InvalidArgument: It is no such event; the attribute is named.
    """
    try:
        event = from_http(headers, body)
    except (GenericException, ValueError, TypeError, AttributeError, RecursionError) as error:
        # What the SDK says of a body may quote it.
        raise InvalidArgument("event", f"is no CloudEvent 1.0 ({type(error).__name__})") from None
    side = _SIDES.get(str(event["type"]))
    if side is None:
        raise InvalidArgument("type", f"must be {' or '.join(_SIDES)}")
    id_ = event["id"]
    if not isinstance(id_, str) or not 0 < len(id_) <= _MAX_ID or not id_.isprintable():
        raise InvalidArgument("id", f"must be a string of 1 to {_MAX_ID} printable characters")
    service = "/".join(_attribute(event, name) for name in ("namespace", "inferenceservicename"))
    if not isinstance(event.data, dict):
        raise InvalidArgument("data", "must be a JSON object, as protocols v1 and v2 send it")
    return Half(service, id_, side, _time(event), event.data)


def _attribute(event: CloudEvent, name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME or not value.isprintable():
        raise InvalidArgument(name, "is required: it is an extension that the payload logger sets")
    return value


def _time(event: CloudEvent) -> datetime | None:
    value = event.get("time")
    if value is None:
        return None
    try:
        return utc(datetime.fromisoformat(str(value)))
    except (ValueError, OverflowError):
        # The latter where its offset leads out of the years 1 to 9999.
        raise InvalidArgument("time", "must be an RFC 3339 time") from None
