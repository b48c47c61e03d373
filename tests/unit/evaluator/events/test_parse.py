from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from w2s.errors import InvalidArgument
from w2s_evaluator.events.parse import Half, Side, half_of

ATTRIBUTES = {
    "specversion": "1.0",
    "id": "inference-1",
    "type": "org.kubeflow.serving.inference.request",
    "source": "http://localhost:9081/",
    "namespace": "team",
    "inferenceservicename": "student",
    "component": "predictor",
    "endpoint": "",
    "time": "2026-11-25T10:00:00.123456789Z",
}
BODY = {"instances": ["a"]}
TIME = datetime(2026, 11, 25, 10, 0, 0, 123456, UTC)


def binary(body=b'{"instances": ["a"]}', **attributes):
    headers = {f"Ce-{name}": value for name, value in {**ATTRIBUTES, **attributes}.items() if value is not None}
    return half_of({"Content-Type": "application/json", **headers}, body)


def structured(**fields):
    event = {**ATTRIBUTES, "data": BODY, **fields}
    body = json.dumps({name: value for name, value in event.items() if value is not None}).encode()
    return half_of({"content-type": "application/cloudevents+json"}, body)


def test_binary_and_structured_events_are_one():
    expected = Half("team/student", "inference-1", Side.REQUEST, TIME, BODY)

    assert binary() == structured() == expected
    assert structured(data=None, data_base64=base64.b64encode(json.dumps(BODY).encode()).decode()) == expected
    assert binary(type="org.kubeflow.serving.inference.response").side is Side.RESPONSE


def test_a_time_with_an_offset_is_utc():
    assert structured(time="2026-11-25T12:00:00+02:00").time == datetime(2026, 11, 25, 10, tzinfo=UTC)


@pytest.mark.parametrize("read", [binary, structured])
@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        ({"specversion": "0.1"}, "event"),
        ({"specversion": None}, "event"),
        ({"id": None}, "event"),
        ({"type": None}, "event"),
        ({"type": "com.example.other"}, "type"),
        ({"id": "x" * 201}, "id"),
        ({"id": "a\0b"}, "id"),
        ({"namespace": None}, "namespace"),
        ({"inferenceservicename": None}, "inferenceservicename"),
        ({"time": "soon"}, "time"),
        ({"time": "0001-01-01T00:00:00+14:00"}, "time"),
    ],
)
def test_an_event_that_lacks_something_is_refused_by_its_attribute(read, attributes, field):
    with pytest.raises(InvalidArgument) as caught:
        read(**attributes)
    assert caught.value.field == field


@pytest.mark.parametrize("body", [b"", b"null", b"[1]", b'"text"', b"not JSON", b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(body):
    with pytest.raises(InvalidArgument):
        binary(body)
    with pytest.raises(InvalidArgument):
        half_of({"content-type": "application/cloudevents+json"}, body)


def test_attributes_of_other_types_are_refused():
    for fields in ({"type": ["a"]}, {"id": {}}, {"namespace": 3}, {"data": [1]}, {"data_base64": "@@"}):
        with pytest.raises(InvalidArgument):
            structured(**fields)
