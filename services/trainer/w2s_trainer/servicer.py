"""Maps the trainer's protos to runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from w2s.artifacts import ArtifactRef
from w2s.common.v1 import common_pb2 as common
from w2s.errors import InvalidArgument
from w2s.jobs import Job, JobManager
from w2s.models.sources import ModelSources
from w2s.rpc import Context
from w2s.rpc.convert import from_ref, job_event, job_status, resource_id, spec_message, to_model
from w2s.trainer.v1 import trainer_pb2 as pb
from w2s.trainer.v1 import trainer_pb2_grpc
from w2s_trainer.inputs import check_inputs
from w2s_trainer.spec import RunSpec

_MAX_DISPLAY_NAME = 128


class TrainerServicer(trainer_pb2_grpc.TrainerServiceServicer):
    """The gRPC face of the trainer; each RPC is documented in its proto."""

    def __init__(self, runs: JobManager, sources: ModelSources) -> None:
        self._runs = runs
        self._sources = sources

    async def CreateRun(self, request: pb.CreateRunRequest, context: Context) -> pb.Run:
        spec = to_model(request.run.spec, RunSpec, "run.spec")
        name = request.run.display_name
        if len(name) > _MAX_DISPLAY_NAME:
            raise InvalidArgument("run.display_name", f"at most {_MAX_DISPLAY_NAME} characters, got {len(name)}")
        await asyncio.to_thread(check_inputs, spec, self._sources)
        if request.validate_only:
            return pb.Run(display_name=name, spec=spec_message(spec, pb.RunSpec))
        return _run(await self._runs.create(request.request_id, spec.model_dump(mode="json"), {"display_name": name}))

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.Run:
        return _run(await self._runs.get(resource_id(request.name, "runs")))

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        jobs, token = await self._runs.page(request.page_size, request.page_token)
        return pb.ListRunsResponse(runs=map(_run, jobs), next_page_token=token)

    async def WatchRun(self, request: pb.WatchRunRequest, context: Context) -> AsyncIterator[common.JobEvent]:
        async for event in self._runs.watch(resource_id(request.name, "runs"), request.after_sequence):
            yield job_event(event)

    async def CancelRun(self, request: pb.CancelRunRequest, context: Context) -> pb.Run:
        return _run(await self._runs.cancel(resource_id(request.name, "runs")))


def _run(job: Job) -> pb.Run:
    result = None
    if job.result:
        model = from_ref(ArtifactRef(**job.result["model"]), common.ModelRef)
        result = pb.RunResult(**{**job.result, "model": model})
    return pb.Run(
        name=f"runs/{job.id}",
        display_name=job.extra.get("display_name", ""),
        spec=spec_message(RunSpec.model_validate(job.spec), pb.RunSpec),
        status=job_status(job),
        result=result,
    )
