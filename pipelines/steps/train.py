"""Trains a model."""

from __future__ import annotations

from pipelines.keys import content_key
from pipelines.steps.guard import attempt, step
from pipelines.steps.items import CALL_TIMEOUT_S, Json, from_json, normalised, printer
from w2s.client import Endpoints, connect, follow
from w2s.trainer.v1 import trainer_pb2, trainer_pb2_grpc


@step
def train(item: Json) -> Json:
    """Trains an item's model; returns the run, or how it failed."""
    return attempt(item, lambda: _train(item))


def _train(item: Json) -> Json:
    spec = from_json(item["run"], trainer_pb2.RunSpec())
    request = trainer_pb2.CreateRunRequest(
        run=trainer_pb2.Run(display_name=f"{item['title']} {item['item']}", spec=spec),
        request_id=content_key("train", normalised(spec), item["nonce"]),
    )
    with connect(Endpoints.from_environment().trainer) as channel:
        trainer = trainer_pb2_grpc.TrainerServiceStub(channel)
        run = trainer.CreateRun(request, timeout=CALL_TIMEOUT_S)
        follow(trainer.WatchRun, trainer_pb2.WatchRunRequest(name=run.name), printer(item["item"]))
        run = trainer.GetRun(trainer_pb2.GetRunRequest(name=run.name), timeout=CALL_TIMEOUT_S)
    result = run.result
    return {
        "run": run.name,
        "model": {"uri": result.model.uri, "digest": result.model.digest},
        "steps": result.steps,
        "selected_step": result.selected_step,
        "train_loss": result.train_loss,
        "train_seconds": result.train_seconds,
        "used_ground_truth": result.used_ground_truth,
    }
