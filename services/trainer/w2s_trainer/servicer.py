"""Maps the trainer's protos to runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from google.protobuf import empty_pb2

from w2s.artifacts import ArtifactRef
from w2s.artifacts.uris import check_key
from w2s.common.v1 import common_pb2 as common
from w2s.errors import AlreadyExists, InvalidArgument, NotFound
from w2s.jobs import Job, JobManager, State
from w2s.rpc import Context
from w2s.rpc.convert import from_ref, job_event, job_states, job_status, resource_id, spec_message, to_model
from w2s.trainer.v1 import trainer_pb2 as pb
from w2s.trainer.v1 import trainer_pb2_grpc
from w2s_trainer.admission import Admission
from w2s_trainer.cleanup import Cleanup
from w2s_trainer.files import RunFiles
from w2s_trainer.spec import Resources, RunSpec

_MAX_DISPLAY_NAME = 128
_MAX_PRIORITY = 1000


class TrainerServicer(trainer_pb2_grpc.TrainerServiceServicer):
    """The gRPC face of the trainer; each RPC is documented in its proto."""

    def __init__(self, runs: JobManager, admission: Admission, files: RunFiles, cleanup: Cleanup) -> None:
        self._runs = runs
        self._admission = admission
        self._files = files
        self._cleanup = cleanup

    async def CreateRun(self, request: pb.CreateRunRequest, context: Context) -> pb.Run:
        asked = _asked(request.run)
        if (made := await self._made(request.request_id, asked.spec)) is not None:
            # The hub's branches may have moved since.
            commits = made.extra.get("commits", {})
        else:
            commits = await asyncio.to_thread(self._admit, asked, request.request_id)
        if request.validate_only:
            return asked.message()
        # A run of that id may just have ended: what is removed of it is not this one's.
        await self._cleanup.done(request.request_id)
        return _run(
            await self._runs.create(
                request.request_id,
                asked.spec.model_dump(mode="json"),
                {
                    "display_name": asked.display_name,
                    "resources": asked.resources.model_dump(mode="json"),
                    "commits": commits,
                },
                priority=asked.priority,
                size=self._admission.size(asked.resources),
            )
        )

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.Run:
        return _run(await self._runs.get(resource_id(request.name, "runs")))

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        states = job_states(request.states)
        jobs, token = await self._runs.page(request.page_size, request.page_token, states)
        return pb.ListRunsResponse(runs=map(_run, jobs), next_page_token=token)

    async def WatchRun(self, request: pb.WatchRunRequest, context: Context) -> AsyncIterator[common.JobEvent]:
        async for event in self._runs.watch(resource_id(request.name, "runs"), request.after_sequence):
            yield job_event(event)

    async def CancelRun(self, request: pb.CancelRunRequest, context: Context) -> pb.Run:
        job = await self._runs.cancel(resource_id(request.name, "runs"))
        await self._cleanup.done(job.id)
        return _run(job)

    async def DeleteRun(self, request: pb.DeleteRunRequest, context: Context) -> empty_pb2.Empty:
        async def clear(run: Job) -> None:
            await self._cleanup.done(run.id)
            await self._cleanup.clear(run.id)
            if request.delete_models:
                await asyncio.to_thread(self._files.remove_models, run)

        await self._runs.delete(resource_id(request.name, "runs"), clear)
        return empty_pb2.Empty()

    async def _made(self, request_id: str, spec: RunSpec) -> Job | None:
        """The run that the request made before, if it need not be admitted again."""
        if not request_id:
            return None
        try:
            job = await self._runs.get(check_key(request_id, "request_id"))
        except NotFound:
            return None
        if job.spec != spec.model_dump(mode="json"):
            raise AlreadyExists(f"runs/{job.id} exists with another spec; use another request_id")
        return None if job.state is State.FAILED else job

    def _admit(self, asked: _Asked, request_id: str) -> dict[str, str]:
        """The commits of the hub models that a run names, once it is known that it can be executed."""
        self._admission.check_resources(asked.resources)
        self._admission.check_id(request_id, asked.spec)
        return self._admission.check_spec(asked.spec)


@dataclass(frozen=True)
class _Asked:
    """What a request asks for."""

    display_name: str
    spec: RunSpec
    priority: int
    resources: Resources

    def message(self) -> pb.Run:
        return pb.Run(
            display_name=self.display_name,
            spec=spec_message(self.spec, pb.RunSpec),
            priority=self.priority,
            resources=spec_message(self.resources, pb.Resources),
        )


def _asked(run: pb.Run) -> _Asked:
    spec = to_model(run.spec, RunSpec, "run.spec")
    resources = to_model(run.resources, Resources, "run.resources")
    if len(run.display_name) > _MAX_DISPLAY_NAME:
        raise InvalidArgument(
            "run.display_name", f"at most {_MAX_DISPLAY_NAME} characters, got {len(run.display_name)}"
        )
    if abs(run.priority) > _MAX_PRIORITY:
        raise InvalidArgument("run.priority", f"must be in [{-_MAX_PRIORITY}, {_MAX_PRIORITY}], got {run.priority}")
    return _Asked(run.display_name, spec, run.priority, resources)


def _run(job: Job) -> pb.Run:
    asked = _Asked(
        job.extra.get("display_name", ""),
        RunSpec.model_validate(job.spec),
        job.priority,
        Resources.model_validate(job.extra.get("resources", {})),
    )
    run = asked.message()
    run.name = f"runs/{job.id}"
    run.status.CopyFrom(job_status(job))
    if job.result:
        run.result.CopyFrom(_result(job.result))
    return run


def _result(result: dict[str, Any]) -> pb.RunResult:
    models = {
        "model": _model(result["model"]),
        "hop_models": [_model(model) for model in result.get("hop_models", ())],
    }
    return pb.RunResult(**{**result, **models})


def _model(ref: dict[str, Any]) -> common.ModelRef:
    return from_ref(ArtifactRef(**ref), common.ModelRef)
