"""Maps the supervisor's protos to what it does."""

from __future__ import annotations

from collections.abc import AsyncIterator

from w2s.artifacts import ArtifactRef
from w2s.common.v1 import common_pb2 as common
from w2s.errors import InvalidArgument
from w2s.jobs import Job
from w2s.rpc import Context
from w2s.rpc.convert import from_ref, job_event, job_status, resource_id, timestamp, to_ref
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s.supervisor.v1 import supervisor_pb2_grpc
from w2s_supervisor.service import Supervisor
from w2s_supervisor.teachers import Teacher

_MAX_ID = 256


class SupervisorServicer(supervisor_pb2_grpc.SupervisorServiceServicer):
    """The gRPC face of the supervisor; each RPC is documented in its proto."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    async def RegisterTeacher(self, request: pb.RegisterTeacherRequest, context: Context) -> pb.Teacher:
        model = ArtifactRef(uri=request.model.uri, digest=to_ref(request.model, "model").digest)
        return self._teacher(await self._supervisor.register(request.teacher_id, model))

    async def GetTeacher(self, request: pb.GetTeacherRequest, context: Context) -> pb.Teacher:
        return self._teacher(await self._supervisor.teachers.get(resource_id(request.name, "teachers")))

    async def ListTeachers(self, request: pb.ListTeachersRequest, context: Context) -> pb.ListTeachersResponse:
        teachers, token = await self._supervisor.teachers.page(request.page_size, request.page_token)
        return pb.ListTeachersResponse(teachers=map(self._teacher, teachers), next_page_token=token)

    async def ActivateTeacher(self, request: pb.ActivateTeacherRequest, context: Context) -> pb.Activation:
        teacher = await self._supervisor.teachers.get(resource_id(request.name, "teachers"))
        return _activation(await self._supervisor.activations.create(request.request_id, {"teacher": teacher.id}))

    async def GetActivation(self, request: pb.GetActivationRequest, context: Context) -> pb.Activation:
        return _activation(await self._supervisor.activations.get(resource_id(request.name, "activations")))

    async def WatchActivation(
        self, request: pb.WatchActivationRequest, context: Context
    ) -> AsyncIterator[common.JobEvent]:
        id_ = resource_id(request.name, "activations")
        async for event in self._supervisor.activations.watch(id_, request.after_sequence):
            yield job_event(event)

    async def Label(self, request: pb.LabelRequest, context: Context) -> pb.LabelResponse:
        ids = [example.id for example in request.examples]
        for index, id_ in enumerate(ids):
            if len(id_) > _MAX_ID:
                raise InvalidArgument(f"examples[{index}].id", f"at most {_MAX_ID} characters, got {len(id_)}")
        if len(set(ids)) < len(ids):
            raise InvalidArgument("examples", "the ids must be distinct")
        teacher = await self._pick(request)
        probabilities = await self._supervisor.label(
            teacher, [example.text for example in request.examples], [e.text_pair for e in request.examples]
        )
        labels = [
            pb.SoftLabel(id=id_, probabilities=row, label=int(row.argmax()))
            for id_, row in zip(ids, probabilities, strict=True)
        ]
        return pb.LabelResponse(labels=labels, teacher=_version(teacher))

    async def LabelDataset(self, request: pb.LabelDatasetRequest, context: Context) -> pb.LabelingJob:
        dataset = to_ref(request.dataset, "dataset")
        teacher = await self._pick(request)
        await self._supervisor.check_dataset(dataset, teacher)
        spec = {
            "dataset": dataset.model_dump(),
            "teacher": request.teacher,
            "required_digest": request.required_digest,
        }
        job = await self._supervisor.labeling.create(request.request_id, spec, {"teacher": teacher.id})
        return await self._labeling_job(job)

    async def GetLabelingJob(self, request: pb.GetLabelingJobRequest, context: Context) -> pb.LabelingJob:
        return await self._labeling_job(await self._supervisor.labeling.get(resource_id(request.name, "labelingJobs")))

    async def ListLabelingJobs(
        self, request: pb.ListLabelingJobsRequest, context: Context
    ) -> pb.ListLabelingJobsResponse:
        jobs, token = await self._supervisor.labeling.page(request.page_size, request.page_token)
        found = [await self._labeling_job(job) for job in jobs]
        return pb.ListLabelingJobsResponse(labeling_jobs=found, next_page_token=token)

    async def WatchLabelingJob(
        self, request: pb.WatchLabelingJobRequest, context: Context
    ) -> AsyncIterator[common.JobEvent]:
        id_ = resource_id(request.name, "labelingJobs")
        async for event in self._supervisor.labeling.watch(id_, request.after_sequence):
            yield job_event(event)

    async def CancelLabelingJob(self, request: pb.CancelLabelingJobRequest, context: Context) -> pb.LabelingJob:
        return await self._labeling_job(
            await self._supervisor.labeling.cancel(resource_id(request.name, "labelingJobs"))
        )

    async def _pick(self, request: pb.LabelRequest | pb.LabelDatasetRequest) -> Teacher:
        id_ = resource_id(request.teacher, "teachers", "teacher") if request.teacher else ""
        return await self._supervisor.pick(id_, request.required_digest)

    async def _labeling_job(self, job: Job) -> pb.LabelingJob:
        teacher = await self._supervisor.teachers.get(job.extra["teacher"])
        return pb.LabelingJob(
            name=f"labelingJobs/{job.id}",
            dataset=common.DatasetRef(**job.spec["dataset"]),
            teacher=_version(teacher),
            status=job_status(job),
            labels=from_ref(ArtifactRef(**job.result), common.LabelsRef) if job.result else None,
        )

    def _teacher(self, teacher: Teacher) -> pb.Teacher:
        active = self._supervisor.pool.active
        state = pb.TEACHER_STATE_LOADED if self._supervisor.pool.is_loaded(teacher) else pb.TEACHER_STATE_REGISTERED
        return pb.Teacher(
            name=teacher.name,
            model=common.ModelRef(uri=teacher.uri, digest=teacher.digest),
            version=_version(teacher),
            label_names=teacher.label_names,
            state=pb.TEACHER_STATE_ACTIVE if active and active.teacher.id == teacher.id else state,
            create_time=timestamp(teacher.create_time),
        )


def _version(teacher: Teacher) -> common.TeacherVersion:
    name, revision, digest = teacher.version
    return common.TeacherVersion(teacher=name, revision=revision, digest=digest)


def _activation(job: Job) -> pb.Activation:
    return pb.Activation(
        name=f"activations/{job.id}", teacher=f"teachers/{job.spec['teacher']}", status=job_status(job)
    )
