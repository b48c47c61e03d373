"""Makes a model a teacher."""

from __future__ import annotations

from pipelines.steps.guard import step
from pipelines.steps.items import CALL_TIMEOUT_S, Json, from_json
from w2s.client import Endpoints, connect, follow
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc

_ID_LENGTH = 63


def teacher_id(title: str, seed: int, digest: str) -> str:
    """A teacher's id: what it knows, its seed, and the first eight digits of its digest."""
    known = title.lower().replace("_", "-")
    tail = f"-s{seed}-{digest.removeprefix('sha256:')[:8]}"
    return known[: _ID_LENGTH - len(tail)] + tail


def teacher_spec(model: Json, reading: str = "") -> Json:
    """A TeacherSpec of a model in the supervisor's process, as JSON.

    Args:
        model: Its ModelRef.
        reading: How it is read: `classifier`, `reward` or `language_model`; empty for a
            classifier that the trainer made, which says it itself.
    """
    return {"model": {"model": model, **({reading: {}} if reading else {})}}


@step
def teach(item: Json) -> Json:
    """Registers an item's `teacher`, a TeacherSpec, as its `teacher_id`, and makes it the active one.

    Returns:
        The teacher: its resource name, digest and revision.
    """
    with connect(Endpoints.from_environment().supervisor) as channel:
        supervisor = supervisor_pb2_grpc.SupervisorServiceStub(channel)
        teacher = _register(supervisor, item)
        # The teacher before may have been another task's.
        gate = supervisor_pb2.ValidationGate(allow_other_labels=True)
        swap = supervisor_pb2.ActivateTeacherRequest(name=teacher.name, gate=gate)
        activation = supervisor.ActivateTeacher(swap, timeout=CALL_TIMEOUT_S)
        follow(supervisor.WatchActivation, supervisor_pb2.WatchActivationRequest(name=activation.name))
    print(f"{teacher.name} is active", flush=True)
    return _version(teacher)


def register(item: Json) -> Json:
    """Registers an item's teacher as `teach` does, and leaves the active one alone: whoever asks it names it."""
    with connect(Endpoints.from_environment().supervisor) as channel:
        return _version(_register(supervisor_pb2_grpc.SupervisorServiceStub(channel), item))


def _register(supervisor: supervisor_pb2_grpc.SupervisorServiceStub, item: Json) -> supervisor_pb2.Teacher:
    spec = from_json(item["teacher"], supervisor_pb2.TeacherSpec())
    request = supervisor_pb2.RegisterTeacherRequest(teacher_id=item["teacher_id"], spec=spec)
    return supervisor.RegisterTeacher(request, timeout=CALL_TIMEOUT_S)


def _version(teacher: supervisor_pb2.Teacher) -> Json:
    return {"teacher": teacher.name, "digest": teacher.version.digest, "revision": teacher.version.revision}
