"""Has a teacher label a dataset."""

from __future__ import annotations

from pipelines.keys import content_key
from pipelines.steps.guard import step
from pipelines.steps.items import CALL_TIMEOUT_S, Json, printer
from w2s.client import Endpoints, connect, follow
from w2s.common.v1 import common_pb2 as pb
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc


@step
def label(item: Json, teacher: Json) -> Json:
    """Has the teacher label an item's `dataset`, pinned to its digest; returns the labels' reference."""
    dataset = item["dataset"]
    request = supervisor_pb2.LabelDatasetRequest(
        dataset=pb.DatasetRef(**dataset),
        teacher=teacher["teacher"],
        required_digest=teacher["digest"],
        request_id=content_key("label", dataset["digest"], teacher["teacher"], teacher["digest"], item["nonce"]),
    )
    with connect(Endpoints.from_environment().supervisor) as channel:
        supervisor = supervisor_pb2_grpc.SupervisorServiceStub(channel)
        job = supervisor.LabelDataset(request, timeout=CALL_TIMEOUT_S)
        watch = supervisor_pb2.WatchLabelingJobRequest(name=job.name)
        follow(supervisor.WatchLabelingJob, watch, printer(item["item"]))
        job = supervisor.GetLabelingJob(supervisor_pb2.GetLabelingJobRequest(name=job.name), timeout=CALL_TIMEOUT_S)
    return {"uri": job.labels.uri, "digest": job.labels.digest}
