from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from w2s.artifacts import Parent
from w2s.artifacts.schemas import PREDICTIONS_SCHEMA
from w2s.artifacts.tables import read_dataset, read_pairs, read_predictions
from w2s.errors import InvalidArgument
from w2s.metrics import Direction
from w2s_evaluator.evaluations import classes
from w2s_evaluator.evaluations.predicting import Predicting, prediction_result, write_logits
from w2s_evaluator.evaluations.spec import EvaluationSpec
from w2s_evaluator.evaluations.teachers import Teachers

LOGITS = np.array([[2, 0], [0, 1], [0, 3], [1, 0]], np.float32)


def nothing(*_):
    pass


@pytest.fixture
def measured(store):
    """Predicts on a dataset chunk by chunk; gives the predictions and the result."""

    def measure(ref, dataset, logits):
        work = Predicting(dataset, lambda rows, tick: logits[rows.start : rows.stop], "predict", 2)
        table = pa.concat_tables([work.chunk(range(2), nothing), work.chunk(range(2, len(dataset)), nothing)])
        with store.write("predictions", "a", data_schema=PREDICTIONS_SCHEMA, config={}) as draft:
            write_logits(draft.path, dataset, table)
        spec = EvaluationSpec(dataset=ref, model=ref, replicates=100)
        return read_predictions(store, draft.ref), prediction_result(store, draft.ref, dataset, spec, nothing)

    return measure


def test_classes_by_hand(store, examples, measured):
    ref = examples({"label": 0}, {"label": 1}, {"label": 0, "slice": "hard"}, {"label": 0, "slice": "easy"})
    found, result = measured(ref, read_dataset(store, ref), LOGITS)

    np.testing.assert_array_equal(found.logits, LOGITS)
    assert found.predictions.tolist() == [0, 1, 1, 0]
    assert (result.accuracy.value, result.accuracy.n, sum(b.accuracy.n for b in result.reliability)) == (0.75, 4, 4)
    metrics = {(m.name, m.slice): m for m in result.metrics}
    assert metrics["accuracy", ""].estimate.value == 0.75
    # Recall is 2/3 of the first class and 1 of the second.
    assert metrics["balanced_accuracy", ""].estimate.value == pytest.approx(5 / 6)
    assert metrics["nll", "hard"].estimate.value == pytest.approx(np.log(1 + np.exp(3)), rel=1e-5)
    assert [metrics["accuracy", name].estimate.value for name in ("easy", "hard")] == [1, 0]
    assert (metrics["ece", ""].direction, metrics["auroc", ""].direction) == (Direction.LOWER, Direction.HIGHER)
    assert metrics["auroc", "hard"].estimate.value is None


def test_pairs_by_hand(store, pairs, measured):
    ref = pairs({"label": 0}, {"label": 0}, {"label": 1})
    logits = np.array([[0, 0], [np.log(3), 0], [np.log(3), 0]])
    found, result = measured(ref, read_pairs(store, ref), logits)
    assert found.predictions.tolist() == [0, 0, 0]
    assert result.accuracy.value == pytest.approx(2 / 3)
    (nll,) = [m.estimate.value for m in result.metrics if m.name == "nll"]
    assert nll == pytest.approx((np.log(2) + np.log(4 / 3) + np.log(4)) / 3, rel=1e-6)


def test_numbers_that_are_not_finite_are_told_by_example(store, examples):
    ref = examples({"label": 0}, {"label": 1}, {"label": 1})
    work = Predicting(read_dataset(store, ref), lambda rows, tick: np.array([[0, 1], [np.nan, 0]]), "predict", 2)
    with pytest.raises(InvalidArgument, match="not finite, such as for e2"):
        work.chunk(range(1, 3), nothing)


def test_labels_and_teachers_are_log_probabilities(store, examples, labels, supervisor):
    dataset = read_dataset(store, examples({"label": 0}, {"label": 1}, {"label": 1}))
    ref = labels(e2=[0.5, 0.5], e0=[0.25, 0.75], e1=[1, 0], unknown=[1, 0])
    judge = classes.labels(store, Parent(role="labels", uri=ref.uri, digest=ref.digest), dataset)
    np.testing.assert_allclose(np.exp(judge(range(2), nothing)), [[0.25, 0.75], [1, 0]], atol=1e-6)
    np.testing.assert_allclose(np.exp(judge(range(2, 3), nothing)), [[0.5, 0.5]], atol=1e-6)

    source = Parent(role="teacher", uri="teachers/label", digest=supervisor.version("").digest)
    ticks = []
    judge = classes.teacher(Teachers(supervisor.target), source, dataset)
    found = judge(range(1, 3), lambda *at: ticks.append(at))
    np.testing.assert_allclose(np.exp(found), [[0.25, 0.75]] * 2, atol=1e-6)
    assert (ticks, supervisor.requests[0].required_digest) == ([(2, 2)], source.digest)
