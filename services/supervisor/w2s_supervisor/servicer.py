"""The gRPC face of the supervisor; each RPC is documented in its proto."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from google.protobuf import empty_pb2

from w2s.common.v1 import common_pb2 as common
from w2s.errors import InvalidArgument
from w2s.rpc import Context
from w2s.rpc.convert import job_event, resource_id, to_model, to_ref
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s.supervisor.v1 import supervisor_pb2_grpc
from w2s_supervisor import messages
from w2s_supervisor.backends.protocol import Lane
from w2s_supervisor.gate import ValidationGate
from w2s_supervisor.labeling import LabelingSpec
from w2s_supervisor.queries import Queries, target
from w2s_supervisor.replicas import ReplicaStatus
from w2s_supervisor.service import Supervisor
from w2s_supervisor.spec import TeacherSpec
from w2s_supervisor.swap import SwapMode, SwapSpec


class SupervisorServicer(supervisor_pb2_grpc.SupervisorServiceServicer):
    """Maps messages to what the supervisor does.

    Args:
        supervisor: The supervisor.
        queries: Asks its teachers.
    """

    def __init__(self, supervisor: Supervisor, queries: Queries) -> None:
        self._supervisor = supervisor
        self._queries = queries

    async def RegisterTeacher(self, request: pb.RegisterTeacherRequest, context: Context) -> pb.Teacher:
        spec = to_model(request.spec, TeacherSpec, "spec")
        teacher = await self._supervisor.register(request.teacher_id, spec)
        return messages.teacher(teacher, (await self._status()).of(teacher.id))

    async def GetTeacher(self, request: pb.GetTeacherRequest, context: Context) -> pb.Teacher:
        teacher = await self._supervisor.registry.get(resource_id(request.name, "teachers"))
        follower = self._supervisor.follower
        replicas = await follower.everyone(await self._supervisor.registry.desired())
        (mine,) = (replica.status for replica in replicas if replica.name == follower.name)
        return messages.teacher(teacher, mine.of(teacher.id), replicas)

    async def ListTeachers(self, request: pb.ListTeachersRequest, context: Context) -> pb.ListTeachersResponse:
        teachers, token = await self._supervisor.registry.page(request.page_size, request.page_token)
        status = await self._status()
        found = [messages.teacher(teacher, status.of(teacher.id)) for teacher in teachers]
        return pb.ListTeachersResponse(teachers=found, next_page_token=token)

    async def UnregisterTeacher(self, request: pb.UnregisterTeacherRequest, context: Context) -> empty_pb2.Empty:
        await self._supervisor.unregister(resource_id(request.name, "teachers"))
        return empty_pb2.Empty()

    async def ActivateTeacher(self, request: pb.ActivateTeacherRequest, context: Context) -> pb.Activation:
        mode = _mode(request.mode)
        if request.load_only and mode is SwapMode.DRAIN_FIRST:
            raise InvalidArgument("load_only", "keeps the old teacher, and SWAP_MODE_DRAIN_FIRST frees it")
        spec = SwapSpec(
            teacher=resource_id(request.name, "teachers"),
            mode=mode,
            gate=to_model(request.gate, ValidationGate, "gate"),
            load_only=request.load_only,
        )
        return messages.activation(await self._supervisor.activate(request.request_id, spec))

    async def RollbackTeacher(self, request: pb.RollbackTeacherRequest, context: Context) -> pb.Activation:
        spec = SwapSpec(mode=_mode(request.mode), gate=ValidationGate(allow_other_labels=True))
        return messages.activation(await self._supervisor.activate(request.request_id, spec))

    async def GetActivation(self, request: pb.GetActivationRequest, context: Context) -> pb.Activation:
        return messages.activation(await self._supervisor.activations.get(resource_id(request.name, "activations")))

    async def ListActivations(self, request: pb.ListActivationsRequest, context: Context) -> pb.ListActivationsResponse:
        jobs, token = await self._supervisor.activations.page(request.page_size, request.page_token)
        return pb.ListActivationsResponse(activations=map(messages.activation, jobs), next_page_token=token)

    async def WatchActivation(
        self, request: pb.WatchActivationRequest, context: Context
    ) -> AsyncIterator[common.JobEvent]:
        id_ = resource_id(request.name, "activations")
        async for event in self._supervisor.activations.watch(id_, request.after_sequence):
            yield job_event(event)

    async def CancelActivation(self, request: pb.CancelActivationRequest, context: Context) -> pb.Activation:
        return messages.activation(await self._supervisor.activations.cancel(resource_id(request.name, "activations")))

    async def Label(self, request: pb.LabelRequest, context: Context) -> pb.LabelResponse:
        return await self._queries.label(request, Lane.ONLINE)

    async def LabelStream(
        self, request_iterator: AsyncIterator[pb.LabelRequest], context: Context
    ) -> AsyncIterator[pb.LabelResponse]:
        async with aclosing(self._queries.label_stream(request_iterator)) as responses:
            async for response in responses:
                yield response

    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:
        return await self._queries.score(request)

    async def Compare(self, request: pb.CompareRequest, context: Context) -> pb.CompareResponse:
        return await self._queries.compare(request)

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> AsyncIterator[pb.GenerateResponse]:
        # Closed here and now when the caller goes away, not when the collector comes round.
        async with aclosing(self._queries.generate(request)) as responses:
            async for response in responses:
                yield response

    async def LabelDataset(self, request: pb.LabelDatasetRequest, context: Context) -> pb.LabelingJob:
        if request.max_failed_rows < 0:
            raise InvalidArgument("max_failed_rows", f"must not be negative, got {request.max_failed_rows}")
        spec = LabelingSpec(
            dataset=to_ref(request.dataset, "dataset"),
            teacher=request.teacher,
            required_digest=request.required_digest,
            max_failed_rows=request.max_failed_rows,
        )
        return messages.labeling_job(await self._supervisor.label_dataset(request.request_id, spec, target(request)))

    async def GetLabelingJob(self, request: pb.GetLabelingJobRequest, context: Context) -> pb.LabelingJob:
        return messages.labeling_job(await self._supervisor.labeling.get(resource_id(request.name, "labelingJobs")))

    async def ListLabelingJobs(
        self, request: pb.ListLabelingJobsRequest, context: Context
    ) -> pb.ListLabelingJobsResponse:
        jobs, token = await self._supervisor.labeling.page(request.page_size, request.page_token)
        return pb.ListLabelingJobsResponse(labeling_jobs=map(messages.labeling_job, jobs), next_page_token=token)

    async def WatchLabelingJob(
        self, request: pb.WatchLabelingJobRequest, context: Context
    ) -> AsyncIterator[common.JobEvent]:
        id_ = resource_id(request.name, "labelingJobs")
        async for event in self._supervisor.labeling.watch(id_, request.after_sequence):
            yield job_event(event)

    async def CancelLabelingJob(self, request: pb.CancelLabelingJobRequest, context: Context) -> pb.LabelingJob:
        return messages.labeling_job(await self._supervisor.labeling.cancel(resource_id(request.name, "labelingJobs")))

    async def _status(self) -> ReplicaStatus:
        follower = self._supervisor.follower
        return follower.status(await self._supervisor.registry.desired())


def _mode(mode: pb.SwapMode.ValueType) -> SwapMode:
    if mode not in pb.SwapMode.values():
        raise InvalidArgument("mode", f"must be one of {', '.join(pb.SwapMode.keys())}, got {mode}")
    return SwapMode.DRAIN_FIRST if mode == pb.SWAP_MODE_DRAIN_FIRST else SwapMode.BESIDE
