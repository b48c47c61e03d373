from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2 as pb


@pytest.fixture(scope="module")
def evaluated(evaluator, weak, data):
    """The weak model's evaluation on the test split."""
    return evaluator.evaluate(dataset=data["test"], model=weak.result.model, request_id="weak")


def test_model_teacher_and_labels_agree(evaluator, supervisor, evaluated, teachers, data):
    labels = supervisor.ended(supervisor.LabelDataset(dataset=data["test"], teacher=teachers.a.name)).labels
    source = pb.TeacherSource(teacher=teachers.a.name, required_digest=teachers.a.version.digest)
    others = [
        evaluator.evaluate(dataset=data["test"], **fields) for fields in ({"teacher": source}, {"labels": labels})
    ]

    assert evaluated.result.accuracy.n == 100
    assert evaluated.result.accuracy.interval.low < evaluated.result.accuracy.value
    for other in others:
        assert other.status.state == common.JOB_STATE_SUCCEEDED, other.status.error.message
        assert other.result.accuracy == evaluated.result.accuracy


def test_predictions_hold_what_the_result_says(evaluated, store, data, weak):
    predictions = evaluated.result.predictions
    artifact = store.read(predictions.uri, predictions.digest)
    table = pq.read_table(artifact.path / "predictions.parquet").to_pydict()
    truth = pq.read_table(store.read(data["test"].uri).path / "examples.parquet").to_pydict()
    logits = np.array(table["logits"])

    assert (table["id"], table["label"]) == (truth["id"], truth["label"])
    assert table["prediction"] == logits.argmax(axis=1).tolist()
    assert table["correct"] == [p == label for p, label in zip(table["prediction"], table["label"], strict=True)]
    odds = np.exp(logits.max(axis=1) - logits.min(axis=1))
    np.testing.assert_allclose(table["confidence"], odds / (1 + odds), rtol=1e-5)
    assert evaluated.result.accuracy.value == np.mean(table["correct"])
    assert sum(bin_.accuracy.n for bin_ in evaluated.result.reliability) == 100
    assert {p.role: p.digest for p in artifact.manifest.parents} == {
        "dataset": data["test"].digest,
        "model": weak.result.model.digest,
    }


def test_same_request_is_the_same_evaluation(evaluator, evaluated, data, refused):
    again = evaluator.CreateEvaluation(evaluation=pb.Evaluation(spec=evaluated.spec), request_id="weak")
    assert (again, again.status.attempt) == (evaluated, 1)

    other = pb.EvaluationSpec(dataset=data["validation"], model=evaluated.spec.model)
    with refused("ALREADY_EXISTS"):
        evaluator.CreateEvaluation(evaluation=pb.Evaluation(spec=other), request_id="weak")
    assert evaluated.name in [found.name for found in evaluator.ListEvaluations(page_size=1000).evaluations]


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("evaluation.spec", {}),
        ("evaluation.spec.dataset", {"dataset": None, "model": common.ModelRef(uri="ROOT/models/weak")}),
        ("evaluation.spec.model.uri", {"model": common.ModelRef(uri="ROOT/datasets/boolq-test")}),
        ("evaluation.spec.model.uri", {"model": common.ModelRef(uri="file:///etc")}),
        ("evaluation.spec.labels.uri", {"labels": common.LabelsRef(uri="ROOT/models/weak")}),
        ("evaluation.spec.teacher.teacher", {"teacher": pb.TeacherSource(teacher="nobody")}),
    ],
)
def test_bad_spec_is_refused_by_field(evaluator, evaluated, store, data, refused, field, fields):
    spec = pb.EvaluationSpec(**{"dataset": data["test"], **fields})
    source = spec.WhichOneof("source")
    if source in ("model", "labels"):
        ref = getattr(spec, source)
        ref.uri = ref.uri.replace("ROOT", store.root)
    with refused("INVALID_ARGUMENT", field):
        evaluator.CreateEvaluation(evaluation=pb.Evaluation(spec=spec))


def test_labels_of_other_examples_are_refused(evaluator, data, labels, refused):
    spec = pb.EvaluationSpec(dataset=data["test"], labels=labels)
    with refused("INVALID_ARGUMENT", "evaluation.spec.labels", "100 examples of the dataset have none"):
        evaluator.CreateEvaluation(evaluation=pb.Evaluation(spec=spec))


def test_cancelled_evaluation_ends(evaluator, store, data, weak):
    spec = pb.EvaluationSpec(dataset=data["long"], model=weak.result.model)
    running = evaluator.CreateEvaluation(evaluation=pb.Evaluation(spec=spec), request_id="cancelled")
    evaluator.until(running, lambda event: event.progress.stage == "predict")

    assert evaluator.CancelEvaluation(name=running.name).status.state == common.JOB_STATE_CANCELLED
    assert store.find("predictions", "cancelled") is None


@pytest.mark.faults
def test_restarted_evaluator_finishes_what_waits(serve, evaluated, data, weak, refused):
    server = serve("evaluator")
    model = {"model": weak.result.model}
    with server.client() as doomed:
        unaddressed = pb.EvaluationSpec(dataset=data["test"], teacher=pb.TeacherSource(teacher="teachers/a"))
        with refused("FAILED_PRECONDITION", words="supervisor_address"):
            doomed.CreateEvaluation(evaluation=pb.Evaluation(spec=unaddressed))
        running, queued = (
            doomed.CreateEvaluation(
                evaluation=pb.Evaluation(spec=pb.EvaluationSpec(dataset=data[split], **model)),
                request_id=f"killed-{split}",
            )
            for split in ("long", "test")
        )
        doomed.until(running, lambda event: event.progress.stage == "predict")
        server.kill()

    server.start()
    with server.client() as restarted:
        running, queued = restarted.ended(running), restarted.ended(queued)
    assert (running.status.state, running.status.attempt) == (common.JOB_STATE_SUCCEEDED, 2)
    assert queued.status.attempt == 1
    assert queued.result.predictions.digest == evaluated.result.predictions.digest
