from __future__ import annotations

from datetime import UTC, datetime

import pytest
from google.protobuf import duration_pb2
from pydantic import BaseModel, Field

from w2s.artifacts import ArtifactRef
from w2s.common.v1 import common_pb2 as pb
from w2s.errors import InvalidArgument
from w2s.evaluator.v1 import monitor_pb2
from w2s.jobs import Event, Job, Progress, State
from w2s.metrics import Interval, Proportion
from w2s.models.spec import BaseRef, Encoding, ModelSpec, Pooling
from w2s.rpc import convert
from w2s.trainer.v1 import trainer_pb2

DIGEST = "sha256:" + "a" * 64
TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def job(**changes) -> Job:
    fields = {"id": "one", "kind": "runs", "spec": {}, "extra": {}, "state": State.RUNNING, "attempt": 2}
    empty = dict.fromkeys(("start_time", "end_time", "progress", "result"))
    return Job(**{**fields, **empty, "create_time": TIME, "error_code": 0, "error_message": "", **changes})


def test_a_spec_survives_the_way_to_a_message_and_back():
    spec = ModelSpec(
        base=BaseRef(uri="hf://org/name", revision="abc"),
        layers=0,
        train_from_layer=0,
        encoding=Encoding.PAIR,
        pooling=Pooling.FIRST_TOKEN,
        max_length=64,
    )
    message = convert.spec_message(spec, trainer_pb2.ModelSpec)
    assert (message.base.uri, message.layers, message.HasField("layers")) == ("hf://org/name", 0, True)
    assert (message.encoding, message.pooling) == (trainer_pb2.TEXT_ENCODING_PAIR, trainer_pb2.POOLING_FIRST_TOKEN)
    assert convert.to_model(message, ModelSpec, "run.spec.model") == spec


def test_what_a_message_leaves_out_takes_the_default():
    message = trainer_pb2.ModelSpec(base=pb.ModelRef(uri="pkg://a/b"))
    assert convert.to_model(message, ModelSpec, "") == ModelSpec(base=BaseRef(uri="pkg://a/b"))


@pytest.mark.parametrize(
    ("message", "path", "field"),
    [
        (
            trainer_pb2.ModelSpec(base=pb.ModelRef(uri="a"), max_length=-1),
            "run.spec.model",
            "run.spec.model.max_length",
        ),
        (trainer_pb2.ModelSpec(base=pb.ModelRef(uri="a", digest="x")), "run.spec.model", "run.spec.model.base.digest"),
        (trainer_pb2.ModelSpec(base=pb.ModelRef(uri="a", digest="x")), "", "base.digest"),
        (trainer_pb2.ModelSpec(base=pb.ModelRef(uri="a"), layers=1, train_from_layer=2), "", "request"),
        (trainer_pb2.ModelSpec(base=pb.ModelRef(uri="hf://a/b")), "model", "model.base"),
    ],
)
def test_what_is_out_of_range_is_named_by_its_path_in_the_request(message, path, field):
    with pytest.raises(InvalidArgument) as caught:
        convert.to_model(message, ModelSpec, path)
    assert caught.value.field == field


class Counts(BaseModel):
    """Fields of a Progress message."""

    stage: str
    step: int
    total_steps: int = 0
    metrics: dict[str, float] = Field(default_factory=dict)


def test_a_duration_that_is_none_is_refused():
    half_life = duration_pb2.Duration(seconds=1, nanos=-1)
    with pytest.raises(InvalidArgument, match=r"spec: .*half_life"):
        convert.to_model(monitor_pb2.Window(half_life=half_life), Counts, "spec")


def test_64_bit_numbers_and_maps_come_through():
    message = pb.Progress(stage="train", step=2**53 + 1, metrics={"loss": 0.25})
    assert convert.to_model(message, Counts, "") == Counts(stage="train", step=2**53 + 1, metrics={"loss": 0.25})


@pytest.mark.parametrize("digest", ["", DIGEST])
@pytest.mark.parametrize("message", [pb.DatasetRef, pb.LabelsRef, pb.PredictionsRef, pb.ModelRef])
def test_references_survive_both_ways(message, digest):
    ref = ArtifactRef(uri="file:///a/b", digest=digest)
    assert convert.to_ref(convert.from_ref(ref, message), "dataset") == ref


def test_a_malformed_reference_is_named_by_its_path():
    with pytest.raises(InvalidArgument, match=r"labels\.digest"):
        convert.to_ref(pb.LabelsRef(uri="file:///a", digest="md5:0"), "labels")


def test_a_resource_name_gives_its_id():
    assert convert.resource_id("runs/one", "runs") == "one"


@pytest.mark.parametrize("name", ["", "runs", "runs/", "evaluations/one", "one", "/runs/one"])
def test_a_name_of_another_collection_is_refused(name):
    with pytest.raises(InvalidArgument, match="name: must be runs/ and an id"):
        convert.resource_id(name, "runs")


def test_a_failed_job_carries_its_error_and_times():
    failed = job(state=State.FAILED, end_time=TIME, error_code=9, error_message="first swap")
    status = convert.job_status(failed)
    assert (status.state, status.attempt) == (pb.JOB_STATE_FAILED, 2)
    assert (status.error.code, status.error.message) == (9, "first swap")
    assert status.end_time.ToDatetime(tzinfo=UTC) == status.create_time.ToDatetime(tzinfo=UTC) == TIME
    assert not status.HasField("start_time")


def test_what_a_job_does_not_have_is_unset():
    status = convert.job_status(job())
    assert not [name for name in ("start_time", "end_time", "progress", "error") if status.HasField(name)]


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_its_value_in_the_protos(state):
    assert pb.JobState.Name(convert.job_status(job(state=state)).state) == state.value


def test_an_event_carries_its_progress():
    progress = Progress("train", 3, 10, {"loss": 0.5})
    event = convert.job_event(Event(4, TIME, State.RUNNING, progress, 0, ""))
    assert (event.sequence, event.state) == (4, pb.JOB_STATE_RUNNING)
    assert event.progress == pb.Progress(stage="train", step=3, total_steps=10, metrics={"loss": 0.5})
    assert not event.HasField("error")


def test_a_share_of_nothing_has_no_value():
    empty = convert.proportion(Proportion(None, None, 0))
    assert not empty.HasField("value")
    assert not empty.HasField("interval")
    zero = convert.proportion(Proportion(0.0, Interval(0.0, 0.2, 0.9), 20))
    assert zero.HasField("value")
    assert (zero.interval.high, zero.interval.level, zero.n) == (0.2, 0.9, 20)


def test_states_are_those_of_the_message():
    values = [pb.JOB_STATE_FAILED, pb.JOB_STATE_QUEUED]
    assert convert.job_states(values) == (State.FAILED, State.QUEUED)
    assert convert.job_states([]) == ()


@pytest.mark.parametrize("value", [pb.JOB_STATE_UNSPECIFIED, 99, -1])
def test_states_that_are_none_are_refused(value):
    with pytest.raises(InvalidArgument, match=r"states: must be of JOB_STATE_QUEUED, .*; got "):
        convert.job_states([pb.JOB_STATE_FAILED, value])
