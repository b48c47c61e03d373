from __future__ import annotations

import pytest
from google.protobuf import json_format

from w2s.common.v1 import common_pb2 as pb
from w2s.errors import InvalidArgument
from w2s.rpc.decoding import Undecodable
from w2s.rpc.requests import CheckedRequests, check_required, checked
from w2s.supervisor.v1 import supervisor_pb2
from w2s.trainer.v1 import trainer_pb2


def parse(content: dict, message):
    return json_format.ParseDict(content, message)


REF = {"uri": "file:///a"}
EXAMPLE = {"id": "1", "text": "a"}


@pytest.mark.parametrize(
    ("message", "content", "missing"),
    [
        (trainer_pb2.CreateRunRequest, {}, "run"),
        (trainer_pb2.CreateRunRequest, {"run": {}}, "run.spec"),
        (trainer_pb2.CreateRunRequest, {"run": {"spec": {"dataset": REF}}}, "run.spec.model"),
        (trainer_pb2.CreateRunRequest, {"run": {"spec": {"model": {}, "dataset": REF}}}, "run.spec.model.base"),
        (
            trainer_pb2.CreateRunRequest,
            {"run": {"spec": {"model": {"base": REF}, "dataset": REF, "labels": {}}}},
            "run.spec.labels.uri",
        ),
        (supervisor_pb2.LabelRequest, {"examples": []}, "examples"),
        (supervisor_pb2.LabelRequest, {"examples": [EXAMPLE, {"id": "2"}]}, "examples[1].text"),
    ],
)
def test_the_path_of_a_missing_required_field_is_named(message, content, missing):
    with pytest.raises(InvalidArgument) as caught:
        check_required(parse(content, message()))
    assert caught.value.field == missing


@pytest.mark.parametrize(
    ("message", "content"),
    [
        (trainer_pb2.CreateRunRequest, {"run": {"spec": {"model": {"base": REF}, "dataset": REF}}}),
        (supervisor_pb2.LabelRequest, {"examples": [EXAMPLE]}),
        # What the server writes is not the caller's to fill in, at any depth.
        (trainer_pb2.Run, {"spec": {"model": {"base": REF}, "dataset": REF}, "result": {"model": {}}}),
        (pb.Progress, {"metrics": {"loss": 1.0}}),
    ],
)
def test_complete_requests_pass(message, content):
    check_required(parse(content, message()))


def test_a_request_that_could_not_be_decoded_is_its_error():
    error = InvalidArgument("uri", "is not valid UTF-8")
    with pytest.raises(InvalidArgument) as caught:
        checked(Undecodable(error))
    assert caught.value is error


async def stream(*requests):
    for request in requests:
        yield request


async def test_a_stream_gives_its_requests_in_order_and_counts_each_after_the_first():
    requests = [pb.DatasetRef(uri=f"file:///{name}") for name in "abc"]
    counted = []
    assert [request async for request in CheckedRequests(stream(*requests), lambda: counted.append(1))] == requests
    assert len(counted) == 2


async def test_a_stream_ends_at_its_first_wrong_request():
    sent = stream(pb.DatasetRef(uri="file:///a"), pb.DatasetRef(), pb.DatasetRef(uri="file:///b"))
    requests = CheckedRequests(sent, lambda: None)
    assert (await anext(requests)).uri == "file:///a"
    with pytest.raises(InvalidArgument, match="uri: is required"):
        await anext(requests)
