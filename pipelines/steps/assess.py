"""Says where a student deceives its supervisor."""

from __future__ import annotations

from pipelines.steps.compare import predictions
from pipelines.steps.items import Json
from w2s.client import Endpoints, connect
from w2s.evaluator.v1 import evaluator_pb2, evaluator_pb2_grpc

_TIMEOUT_S = 300.0


def assess(
    weak: Json,
    strong: Json,
    student: Json,
    no_conflict: Json | None = None,
    threshold: float = 0.0,
    publish_as: str = "",
    validation: tuple[Json, Json] | None = None,
) -> evaluator_pb2.DeceptionAssessment:
    """Weak-to-strong deception (Yang et al. 2024) of one student, from evaluations on the same examples.

    Args:
        weak: The weak model's evaluation.
        strong: The ceiling's.
        student: The student's.
        no_conflict: The student's of the same labels without a conflict; None for no conflict tax.
        threshold: The confidence from which a model knows an example, in (0, 1); 0 for the evaluator's.
        publish_as: The name that the figures have in Prometheus; empty for nowhere.
        validation: The weak model's and the ceiling's evaluations on other examples, on which a temperature of each
            is fitted first; None to take both as they are.

    Raises:
        grpc.RpcError: The evaluator refuses.
    """
    request = evaluator_pb2.AssessDeceptionRequest(
        weak=predictions(weak),
        strong=predictions(strong),
        student=predictions(student),
        no_conflict=None if no_conflict is None else predictions(no_conflict),
        threshold=threshold,
        publish_as=publish_as,
    )
    if validation is not None:
        request.weak_validation.CopyFrom(predictions(validation[0]))
        request.strong_validation.CopyFrom(predictions(validation[1]))
    with connect(Endpoints.from_environment().evaluator) as channel:
        return evaluator_pb2_grpc.EvaluatorServiceStub(channel).AssessDeception(request, timeout=_TIMEOUT_S)
