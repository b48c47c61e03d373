# The SDK ships no types.
# mypy: disallow-subclassing-any=False
"""Teachers as the KServe SDK sees models: a repository of them, and the plane that both protocols go through.

The SDK keeps models and their readiness; here both are the desk's, asked anew each time.
"""

from __future__ import annotations

import json
from typing import Any

import w2s
from w2s.errors import FailedPrecondition, InvalidArgument
from w2s_supervisor.desk import Target
from w2s_supervisor.limits import Limits
from w2s_supervisor.oip import instances, tensors
from w2s_supervisor.oip.desk import Desk
from w2s_supervisor.oip.forms import check_texts, form_of
from w2s_supervisor.oip.sdk import (
    DataPlane,
    InferenceModel,
    InferenceVerb,
    InferRequest,
    InferResponse,
    ModelRepository,
    ModelRepositoryExtension,
)
from w2s_supervisor.teachers import Teacher

# The model that is whichever teacher is active.
ACTIVE = "active"


class NotReady(FailedPrecondition):
    """No teacher is active; over HTTP that is a service that is not available, not a wrong request."""


class TeacherModel(InferenceModel):
    """The teacher, or the active one, that a model's name stands for.

    Args:
        desk: Where teachers are asked.
        limits: How much a request may carry.
        name: The model's name: a teacher's id, or `active`.
    """

    def __init__(self, desk: Desk, limits: Limits, name: str) -> None:
        super().__init__(name)
        self._desk = desk
        self._limits = limits
        self._id = "" if name == ACTIVE else name

    async def teacher(self, version: str = "") -> Teacher:
        """Who it is; its digest must be `version`, when that is set.

        Raises:
            NotFound: There is no such teacher.
            FailedPrecondition: It has another digest.
            NotReady: No teacher is active.
        """
        try:
            return await self._desk.teacher(Target(self._id, version))
        except FailedPrecondition as error:
            raise self._told(error) from error

    async def healthy(self, version: str = "") -> bool:
        """Whether it is loaded and warm; errors as `teacher`."""
        if self._id or version:
            await self.teacher(version)
        return self._desk.is_ready(self._id)

    async def __call__(
        self,
        body: InferRequest | dict[str, Any],
        headers: dict[str, str] | None = None,
        verb: InferenceVerb = InferenceVerb.PREDICT,
    ) -> tuple[InferResponse | dict[str, Any], dict[str, str]]:
        """Answers a request of protocol v2, or v1; a teacher that is not in memory is loaded first.

        Raises:
            InvalidArgument: The request does not fit the teacher, or one of its texts cannot be answered.
            W2SError: As the desk says.
        """
        target = Target(self._id, body.model_version or "" if isinstance(body, InferRequest) else "")
        form = form_of(await self.teacher(target.required_digest))
        codec = tensors if isinstance(body, InferRequest) else instances
        columns = codec.columns_of(body, form)
        check_texts(form, columns, self._limits)
        try:
            teacher, outputs = await form.ask(self._desk, target, columns)
        except FailedPrecondition as error:
            raise self._told(error) from error
        if isinstance(body, InferRequest):
            return tensors.response_of(body, form, teacher, outputs), {}
        return instances.response_of(teacher, outputs), {}

    def _told(self, error: FailedPrecondition) -> FailedPrecondition:
        none_active = not self._id and not self._desk.is_ready("")
        return NotReady(error.message) if none_active else error


class TeacherRepository(ModelRepository):
    """All models: any name has one, which says itself whether there is such a teacher."""

    def __init__(self, desk: Desk, limits: Limits) -> None:
        super().__init__()
        self._desk = desk
        self._limits = limits

    def get_model(self, name: str) -> TeacherModel:
        """The model of a name."""
        return TeacherModel(self._desk, self._limits, name)

    async def load(self, name: str) -> None:
        """Brings a teacher into memory; errors as the desk's."""
        await self._desk.load(_teacher_id(name))

    async def unload(self, name: str) -> None:
        """Takes a teacher out of memory; errors as the desk's."""
        await self._desk.unload(_teacher_id(name))

    async def states(self) -> dict[str, bool]:
        """Every model's name, and whether it is ready."""
        teachers = await self._desk.teachers()
        return {ACTIVE: self._desk.is_ready(""), **{one.id: self._desk.is_ready(one.id) for one in teachers}}


class TeacherRepositoryExtension(ModelRepositoryExtension):
    """Loads and unloads. The SDK's own does not await an unload, and hides why a load failed."""

    def __init__(self, repository: TeacherRepository) -> None:
        super().__init__(repository)
        self.repository = repository

    async def index(self, filter_ready: bool | None = False) -> list[dict[str, str]]:
        """Every model's name and state, or only of those that are ready."""
        states = (await self.repository.states()).items()
        return [
            {"name": name, "state": "READY" if ready else "UNAVAILABLE", "reason": ""}
            for name, ready in states
            if ready or not filter_ready
        ]

    async def load(self, model_name: str) -> None:
        """As `TeacherRepository.load`."""
        await self.repository.load(model_name)

    async def unload(self, model_name: str) -> None:
        """As `TeacherRepository.unload`."""
        await self.repository.unload(model_name)


class TeacherPlane(DataPlane):
    """What both protocols go through. The SDK's own is always ready, and knows no versions."""

    def __init__(self, desk: Desk, limits: Limits) -> None:
        self.repository = TeacherRepository(desk, limits)
        super().__init__(self.repository)
        self._desk = desk
        self._server_name = "w2s-supervisor"
        self._server_version = w2s.__version__

    async def ready(self) -> bool:
        """Whether a teacher is active and warm."""
        return self._desk.is_ready("")

    async def get_model(self, name: str) -> TeacherModel:
        """The model of a name; the SDK's own loads those that are not ready, on the event loop."""
        return self.repository.get_model(name)

    async def model_ready(
        self, model_name: str, disable_predictor_health_check: bool = False, version: str = ""
    ) -> bool:
        """Whether a model is ready; errors as `TeacherModel.teacher`."""
        return await self.repository.get_model(model_name).healthy(version)

    async def model_metadata(self, model_name: str, version: str = "") -> dict[str, Any]:
        """What a model takes and gives, and who it is; errors as `TeacherModel.teacher`."""
        teacher = await self.repository.get_model(model_name).teacher(version)
        form = form_of(teacher)
        return {
            "name": model_name,
            "versions": [teacher.digest],
            "platform": "w2s",
            "inputs": [_described(name, "BYTES", (-1,)) for name in (*form.required, *form.optional)],
            "outputs": [_described(one.name, one.datatype, one.shape) for one in form.outputs(teacher)],
            "properties": {
                "teacher": teacher.name,
                "revision": teacher.revision,
                "digest": teacher.digest,
                "label_names": json.dumps(teacher.label_names),
            },
        }


def _described(name: str, datatype: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def _teacher_id(name: str) -> str:
    if name == ACTIVE:
        raise InvalidArgument("model_name", f"{ACTIVE} stands for a teacher; name the teacher itself")
    return name
