from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from w2s.artifacts.tables import Dataset, write_predictions
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2 as pb

N = 100


@pytest.fixture(scope="module")
def evaluated(evaluator, weak, data):
    """The weak model's evaluation on the test split."""
    return evaluator.evaluate(dataset=data["test"], model=weak.result.model, request_id="weak")


@pytest.fixture(scope="session")
def predicted(store):
    """Writes predictions on examples of class 0 that are right where told."""

    def write(key, right, ids=None):
        ids = ids or [str(n) for n in range(len(right))]
        truth = np.zeros(len(right), dtype=np.int32)
        dataset = Dataset(None, ids, ids, None, truth, ["no", "yes"], None)
        logits = np.where(np.array(right, dtype=bool)[:, None], [1.0, 0.0], [0.0, 1.0]).astype(np.float32)
        with store.write("predictions", key, data_schema="w2s.predictions/1", config={}) as draft:
            write_predictions(draft.path, dataset, logits)
        return common.PredictionsRef(uri=draft.ref.uri, digest=draft.ref.digest)

    return write


def first(count):
    """The first `count` of N right."""
    return [n < count for n in range(N)]


def last(count):
    return first(count)[::-1]


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


def test_labels_of_other_examples_fail_the_evaluation(evaluator, data, labels):
    error = evaluator.evaluate(dataset=data["test"], labels=labels).status.error
    assert (error.code, "100 examples of the dataset have none" in error.message) == (3, True)


def test_cancelled_evaluation_ends(evaluator, store, data, weak):
    spec = pb.EvaluationSpec(dataset=data["long"], model=weak.result.model)
    running = evaluator.CreateEvaluation(evaluation=pb.Evaluation(spec=spec), request_id="cancelled")
    evaluator.until(running, lambda event: event.progress.stage == "predict")

    assert evaluator.CancelEvaluation(name=running.name).status.state == common.JOB_STATE_CANCELLED
    assert store.find("predictions", "cancelled") is None


def test_restarted_evaluator_finishes_what_waits(serve, evaluated, data, weak):
    server = serve("evaluator")
    model = {"model": weak.result.model}
    with server.client() as doomed:
        unaddressed = doomed.evaluate(dataset=data["test"], teacher=pb.TeacherSource(teacher="teachers/a"))
        running, queued = (
            doomed.CreateEvaluation(
                evaluation=pb.Evaluation(spec=pb.EvaluationSpec(dataset=data[split], **model)),
                request_id=f"killed-{split}",
            )
            for split in ("long", "test")
        )
        doomed.until(running, lambda event: event.progress.stage == "predict")
        server.kill()
    assert (unaddressed.status.error.code, "supervisor_address" in unaddressed.status.error.message) == (9, True)

    server.start()
    with server.client() as restarted:
        running, queued = restarted.ended(running), restarted.ended(queued)
    assert (running.status.state, running.status.attempt) == (common.JOB_STATE_SUCCEEDED, 2)
    assert queued.status.attempt == 1
    assert queued.result.predictions.digest == evaluated.result.predictions.digest


def test_comparison_by_hand(evaluator, predicted):
    weak, student, ceiling = predicted("w50", first(50)), predicted("s70", first(70)), predicted("c90", first(90))
    found = evaluator.Compare(weak=[weak], student=[student], ceiling=[ceiling])

    assert (found.weak_accuracy, found.student_accuracy, found.ceiling_accuracy) == (0.5, 0.7, 0.9)
    assert found.examples == N
    assert found.pgr.status == pb.PGR_STATUS_OK
    assert found.pgr.value == pytest.approx(0.5)  # (0.7 - 0.5) / (0.9 - 0.5)
    assert 0.3 < found.pgr.interval.low < 0.5 < found.pgr.interval.high < 0.7
    # Both are right on 50 examples and wrong on 30; on 20 only the student is right.
    agreement = found.agreement
    assert (agreement.overall.value, agreement.overall.n) == (0.8, 100)
    assert (agreement.supervisor_right.value, agreement.supervisor_right.n) == (1.0, 50)
    assert (agreement.supervisor_wrong.value, agreement.supervisor_wrong.n) == (0.6, 50)


def test_comparison_over_seeds_is_of_means(evaluator, predicted):
    arms = {"weak": (40, 60), "student": (50, 80), "ceiling": (80, 90)}
    refs = {role: [predicted(f"{role}-{n}", first(n)) for n in counts] for role, counts in arms.items()}
    found = evaluator.Compare(**refs)

    assert (found.weak_accuracy, found.student_accuracy, found.ceiling_accuracy) == pytest.approx((0.5, 0.65, 0.85))
    assert found.pgr.value == pytest.approx(0.15 / 0.35)
    assert found.agreement.overall.n == 2 * N
    assert found == evaluator.Compare(**refs, replicates=2000)
    assert found != evaluator.Compare(**refs, seed=1)


@pytest.mark.parametrize(
    ("weak", "ceiling", "status"),
    [
        (first(50), last(50), pb.PGR_STATUS_UNDEFINED_GAP),
        (first(60), last(50), pb.PGR_STATUS_UNDEFINED_GAP),
        (first(50), last(52), pb.PGR_STATUS_GAP_BELOW_NOISE),
        (first(50), first(50), pb.PGR_STATUS_SAME_MODEL),
    ],
)
def test_pgr_without_a_gap_has_a_status_and_no_value(evaluator, predicted, weak, ceiling, status):
    keys = [f"gap-{sum(right)}-{'first' if right[0] else 'last'}" for right in (weak, ceiling)]
    refs = [predicted(key, right) for key, right in zip(keys, (weak, ceiling), strict=True)]
    pgr = evaluator.Compare(weak=[refs[0]], student=[predicted("s70", first(70))], ceiling=[refs[1]]).pgr

    assert (pgr.status, pgr.HasField("value"), pgr.HasField("interval")) == (status, False, False)


def test_bad_comparison_is_refused_by_field(evaluator, predicted, data, refused):
    mine, few = predicted("w50", first(50)), predicted("few", [True, False])
    renamed = predicted("renamed", first(50), [f"other-{n}" for n in range(N)])
    dataset = common.PredictionsRef(uri=data["test"].uri)
    valid = {"weak": [mine], "student": [mine], "ceiling": [mine]}
    for field, change in {
        "student[0]": {"student": [renamed]},
        "ceiling[0]": {"ceiling": [few]},
        "weak[0].uri": {"weak": [dataset]},
        "weak[1].digest": {role: [mine, common.PredictionsRef(uri=mine.uri, digest="short")] for role in valid},
        "weak": {"weak": []},
        "request": {"student": [mine, mine]},
        "replicates": {"replicates": 5},
        "seed": {"seed": -1},
    }.items():
        with refused("INVALID_ARGUMENT", field):
            evaluator.Compare(**{**valid, **change})
