"""Trains a model."""

from __future__ import annotations

from pipelines.keys import content_key
from pipelines.steps.guard import attempt, step
from pipelines.steps.items import CALL_TIMEOUT_S, Json, from_json, normalised, printer
from w2s.client import Endpoints, connect, follow
from w2s.common.v1 import common_pb2 as pb
from w2s.trainer.v1 import trainer_pb2, trainer_pb2_grpc


@step
def train(item: Json) -> Json:
    """Trains an item's model; returns the run, or how it failed.

    An item may have a run that comes `first`, such as fine-tuning before preferences: its model is the base of the
    run itself. Items with the same one share it.
    """
    return attempt(item, lambda: _train_in_turn(item))


def _train_in_turn(item: Json) -> Json:
    spec = from_json(item["run"], trainer_pb2.RunSpec())
    if "first" not in item:
        return _train(item, item["item"], spec)
    first = _train(item, f"{item['item']}:first", from_json(item["first"], trainer_pb2.RunSpec()))
    spec.model.base.CopyFrom(pb.ModelRef(**first["model"]))
    return {**_train(item, item["item"], spec), "first": first["run"]}


def _train(item: Json, label: str, spec: trainer_pb2.RunSpec) -> Json:
    request = trainer_pb2.CreateRunRequest(
        run=trainer_pb2.Run(display_name=f"{item['title']} {label}", spec=spec),
        request_id=content_key("train", normalised(spec), item["nonce"]),
    )
    with connect(Endpoints.from_environment().trainer) as channel:
        trainer = trainer_pb2_grpc.TrainerServiceStub(channel)
        run = trainer.CreateRun(request, timeout=CALL_TIMEOUT_S)
        follow(trainer.WatchRun, trainer_pb2.WatchRunRequest(name=run.name), printer(label))
        run = trainer.GetRun(trainer_pb2.GetRunRequest(name=run.name), timeout=CALL_TIMEOUT_S)
    result = run.result
    return {
        "run": run.name,
        "model": {"uri": result.model.uri, "digest": result.model.digest},
        "examples": result.examples,
        "steps": result.steps,
        "selected_step": result.selected_step,
        "train_loss": result.train_loss,
        "train_seconds": result.train_seconds,
        "used_ground_truth": result.used_ground_truth,
    }
