"""Measures a model, a teacher or labels against ground truth."""

from __future__ import annotations

from pipelines.keys import content_key
from pipelines.steps.guard import FAILED, attempt, step
from pipelines.steps.items import CALL_TIMEOUT_S, Json, from_json, normalised, printer
from w2s.client import Endpoints, connect, follow
from w2s.common.v1 import common_pb2 as pb
from w2s.evaluator.v1 import evaluator_pb2, evaluator_pb2_grpc


@step
def evaluate(item: Json, run: Json) -> Json:
    """Evaluates the model that an item's training made.

    Returns:
        What the item is `of`, with its `run`, and its `evaluation` where the item asks for
        one; or how it failed, in training or here.
    """
    if run["status"] == FAILED:
        return {"of": item["of"], **run}
    return {"of": item["of"], **attempt(item, lambda: {"run": run, **_evaluation(item, run)})}


def _evaluation(item: Json, run: Json) -> Json:
    if not item["evaluation"]:
        return {}
    spec = from_json(item["evaluation"], evaluator_pb2.EvaluationSpec())
    spec.model.CopyFrom(pb.ModelRef(**run["model"]))
    return {"evaluation": measure(item["item"], spec, item["nonce"])}


def measure(item: str, spec: evaluator_pb2.EvaluationSpec, nonce: str) -> Json:
    """Has the evaluator measure something, and waits for it.

    Args:
        item: What the step's log calls it.
        spec: What is measured, on what.
        nonce: Any new text forces fresh work.

    Returns:
        The evaluation's name, its predictions, its metrics over all examples, and of classes the
        accuracy and the bins of a reliability diagram that hold any example.
    """
    request = evaluator_pb2.CreateEvaluationRequest(
        evaluation=evaluator_pb2.Evaluation(spec=spec),
        request_id=content_key("evaluate", normalised(spec), nonce),
    )
    with connect(Endpoints.from_environment().evaluator) as channel:
        evaluator = evaluator_pb2_grpc.EvaluatorServiceStub(channel)
        found = evaluator.CreateEvaluation(request, timeout=CALL_TIMEOUT_S)
        follow(evaluator.WatchEvaluation, evaluator_pb2.WatchEvaluationRequest(name=found.name), printer(item))
        found = evaluator.GetEvaluation(evaluator_pb2.GetEvaluationRequest(name=found.name), timeout=CALL_TIMEOUT_S)
    figures = _figures(found.result)
    for metric, value in list(figures["metrics"].items())[:1]:
        print(f"{item}: {metric} {value:.3f}", flush=True)
    return {"evaluation": found.name, **figures}


def _figures(result: evaluator_pb2.EvaluationResult) -> Json:
    metrics = {m.name: m.estimate.value for m in result.metrics if not m.slice and m.estimate.HasField("value")}
    figures: Json = {
        "predictions": {"uri": result.predictions.uri, "digest": result.predictions.digest},
        "metrics": metrics,
    }
    if result.HasField("accuracy"):
        figures["accuracy"] = result.accuracy.value
        figures["reliability"] = [
            {"confidence": b.mean_confidence, "accuracy": b.accuracy.value, "n": b.accuracy.n}
            for b in result.reliability
            if b.accuracy.n
        ]
    return figures
