"""A training may have one that comes first, whose model it goes on from."""

from __future__ import annotations

import grpc
import pytest

from pipelines.steps.items import training_item
from pipelines.steps.train import train
from w2s.common.v1 import common_pb2 as pb
from w2s.trainer.v1 import trainer_pb2, trainer_pb2_grpc


class Trainer(trainer_pb2_grpc.TrainerServiceServicer):
    """Makes a model of each run at once, named after it."""

    def __init__(self):
        self.runs = {}

    def CreateRun(self, request, context):  # noqa: N802
        name = f"runs/{request.request_id}"
        if request.run.spec.dataset.uri == "none":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such dataset")
        run = trainer_pb2.Run(name=name, spec=request.run.spec, display_name=request.run.display_name)
        run.result.model.uri, run.result.examples = f"models/{request.request_id}", 7
        self.runs.setdefault(name, run)
        return run

    def WatchRun(self, request, context):  # noqa: N802
        yield pb.JobEvent(sequence=1, state=pb.JOB_STATE_SUCCEEDED)

    def GetRun(self, request, context):  # noqa: N802
        return self.runs[request.name]


@pytest.fixture
def trainer(serve):
    return serve(trainer_pb2_grpc.add_TrainerServiceServicer_to_server, Trainer())


def item(label, first, dataset="file:///d", **fields):
    spec = trainer_pb2.RunSpec(dataset=pb.DatasetRef(uri=dataset))
    spec.objective.simpo.beta = 2 if label == "a" else 3
    return training_item(label, "task", {}, spec, first=first, **fields)


def fine_tuning(dataset="file:///d"):
    first = trainer_pb2.RunSpec(dataset=pb.DatasetRef(uri=dataset))
    first.model.base.uri = "file:///base"
    first.objective.sft.SetInParent()
    return first


def test_a_run_goes_on_from_the_model_of_the_first_which_items_share(trainer):
    found = [train(item(label, fine_tuning())) for label in ("a", "b")]
    first, *others = trainer.runs.values()
    assert len(others) == 2
    assert first.spec.model.base.uri == "file:///base"
    assert {run.spec.model.base.uri for run in others} == {first.result.model.uri}
    assert [run.display_name for run in (first, *others)] == ["task a:first", "task a", "task b"]
    assert {made["first"] for made in found} == {first.name}
    assert [made["run"] for made in found] == [run.name for run in others]
    assert found[0]["examples"] == 7


def test_a_run_by_itself_has_no_first(trainer):
    made = train(item("a", None))
    assert "first" not in made
    assert len(trainer.runs) == 1


def test_what_fails_at_first_is_the_items_own_failure(trainer):
    made = train(item("a", fine_tuning("none"), may_fail=True))
    assert (made["status"], trainer.runs) == ("failed", {})
    assert "no such dataset" in made["reason"]
