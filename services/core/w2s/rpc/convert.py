"""Between protos and the library's typed values."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

from google.protobuf import timestamp_pb2
from google.protobuf.json_format import MessageToDict, ParseDict, SerializeToJsonError
from google.protobuf.message import Message
from pydantic import BaseModel, ValidationError

from w2s import jobs
from w2s.artifacts import ArtifactRef
from w2s.common.v1 import common_pb2 as pb
from w2s.errors import InvalidArgument
from w2s.metrics import Estimate, Interval, Proportion

M = TypeVar("M", bound=BaseModel)
P = TypeVar("P", bound=Message)
R = TypeVar("R", pb.DatasetRef, pb.LabelsRef, pb.PredictionsRef, pb.ModelRef)


def to_model(message: Message, model: type[M], path: str) -> M:
    """Validates a message as a typed value whose fields have the same names.

    Raises:
        InvalidArgument: A field is out of its range; its path from the request is named.
    """
    try:
        fields = MessageToDict(message, preserving_proto_field_name=True)
    except SerializeToJsonError as error:
        # A duration of two signs, or of more than ten thousand years.
        raise InvalidArgument(path or "request", str(error)) from error
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        problem = error.errors()[0]
        parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]]
        field = "".join([path, *parts]).strip(".") or "request"
        raise InvalidArgument(field, problem["msg"].removeprefix("Value error, ")) from error


def spec_message(spec: BaseModel, message: type[P]) -> P:
    """A typed spec as the message whose field names it has, with every default filled in."""
    return ParseDict(spec.model_dump(mode="json", exclude_none=True), message())


def from_ref(ref: ArtifactRef, message: type[R]) -> R:
    """A reference as one of the proto reference messages."""
    return message(uri=ref.uri, digest=ref.digest)


def to_ref(message: Message, path: str) -> ArtifactRef:
    """A proto reference message as a reference; InvalidArgument names the field."""
    return to_model(message, ArtifactRef, path)


def resource_id(name: str, collection: str, field: str = "name") -> str:
    """The id in a resource name such as `runs/abc`.

    Raises:
        InvalidArgument: The name is not one of the collection's.
    """
    prefix, _, id_ = name.partition("/")
    if prefix != collection or not id_:
        raise InvalidArgument(field, f"must be {collection}/ and an id, got {name!r}")
    return id_


def timestamp(time: datetime | None) -> timestamp_pb2.Timestamp | None:
    """A UTC time as a proto timestamp; None stays None."""
    if time is None:
        return None
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(time)
    return stamp


def job_status(job: jobs.Job) -> pb.JobStatus:
    """A job's state as the message that its resource embeds."""
    return pb.JobStatus(
        state=pb.JobState.Value(job.state.value),
        create_time=timestamp(job.create_time),
        start_time=timestamp(job.start_time),
        end_time=timestamp(job.end_time),
        attempt=job.attempt,
        progress=_progress(job.progress),
        error=_error(job.error_code, job.error_message),
    )


def job_event(event: jobs.Event) -> pb.JobEvent:
    """An entry of a job's log as a message."""
    return pb.JobEvent(
        sequence=event.sequence,
        time=timestamp(event.time),
        state=pb.JobState.Value(event.state.value),
        progress=_progress(event.progress),
        error=_error(event.error_code, event.error_message),
    )


def job_states(values: Iterable[int], field: str = "states") -> tuple[jobs.State, ...]:
    """Values of the proto enum as states.

    Raises:
        InvalidArgument: One is none of them.
    """
    names = pb.JobState.DESCRIPTOR.values_by_number
    found = [names[value].name if value in names else str(value) for value in values]
    known = [state.value for state in jobs.State]
    if unknown := [name for name in found if name not in known]:
        raise InvalidArgument(field, f"must be of {', '.join(known)}; got {unknown[0]}")
    return tuple(map(jobs.State, found))


def proportion(value: Proportion) -> pb.Proportion:
    """A share with its interval as a message."""
    return pb.Proportion(value=value.value, interval=interval(value.interval), n=value.n)


def estimate(value: Estimate) -> pb.Estimate:
    """A figure with its uncertainty as a message."""
    return pb.Estimate(
        value=value.value, standard_error=value.standard_error, interval=interval(value.interval), n=value.n
    )


def interval(value: Interval | None) -> pb.Interval | None:
    """An interval as a message; None stays None."""
    return None if value is None else pb.Interval(low=value.low, high=value.high, level=value.level)


def _progress(progress: jobs.Progress | None) -> pb.Progress | None:
    if progress is None:
        return None
    return pb.Progress(
        stage=progress.stage, step=progress.step, total_steps=progress.total_steps, metrics=progress.metrics
    )


def _error(code: int, message: str) -> pb.JobError | None:
    return pb.JobError(code=code, message=message) if code else None
