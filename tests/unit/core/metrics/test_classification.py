from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, f1_score, log_loss, roc_auc_score

from w2s.metrics import METRICS, Estimate, classification_metrics
from w2s.metrics.classification import PER_EXAMPLE

PROBABILITIES = np.array([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7], [0.9, 0.1]])
LABELS = np.array([0, 1, 0, 0])


def values(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    found = classification_metrics(probabilities, labels, replicates=2)
    return {name: figure.value for name, figure in found.items()}


def test_figures_worked_out_by_hand():
    assert values(PROBABILITIES, LABELS) == {
        "accuracy": 0.75,
        "balanced_accuracy": pytest.approx((2 / 3 + 1) / 2),
        # F1 of class 0: 2*2 / (4 + 0 + 1); of class 1: 2*1 / (2 + 1 + 0); three of class 0, one of class 1.
        "weighted_f1": pytest.approx(0.75 * 0.8 + 0.25 * 2 / 3),
        # .6 is above .2 and .1, below .7.
        "auroc": pytest.approx(2 / 3),
        # .8 * .6 * .3 * .9 = .6^4
        "nll": pytest.approx(-np.log(0.6)),
        # 2 (.2^2 + .4^2 + .7^2 + .1^2) / 4
        "brier": pytest.approx(0.35),
        # Four bins of one: (.2 + .4 + .7 + .1) / 4
        "ece": pytest.approx(0.35),
    }


def test_examples_of_one_bin_are_averaged_before_they_are_compared():
    # Two confidences of (11/15, 12/15]: one right and one wrong of .75 and .77 is |.5 - .76|.
    assert values(np.array([[0.75, 0.25], [0.77, 0.23]]), np.array([0, 1]))["ece"] == pytest.approx(0.26)


def test_every_figure_has_its_direction_and_is_in_order():
    found = classification_metrics(PROBABILITIES, LABELS, replicates=2)
    assert list(found) == ["accuracy", "balanced_accuracy", "weighted_f1", "auroc", "nll", "brier", "ece"]
    assert set(found) | set(PER_EXAMPLE) <= set(METRICS)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("digits", [1, 9], ids=["ties", "no ties"])
def test_agrees_with_scikit_learn(classes, digits):
    rng = np.random.default_rng(classes)
    probabilities = np.maximum(np.round(rng.dirichlet(np.ones(classes), 300), digits), 0.01)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    labels = np.where(rng.random(300) < 0.4, probabilities.argmax(axis=1), rng.integers(classes, size=300))
    predicted = probabilities.argmax(axis=1)
    found = values(probabilities, labels)
    scores = {"y_score": probabilities[:, 1]} if classes == 2 else {"y_score": probabilities, "multi_class": "ovr"}
    assert found["auroc"] == pytest.approx(roc_auc_score(labels, **scores))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found["weighted_f1"] == pytest.approx(f1_score(labels, predicted, average="weighted"))
    assert found["nll"] == pytest.approx(log_loss(labels, probabilities))
    brier = brier_score_loss(labels, probabilities, scale_by_half=False, labels=range(classes))
    assert found["brier"] == pytest.approx(brier)


@given(st.lists(st.tuples(st.integers(1, 99), st.booleans()), min_size=2, max_size=30), st.floats(0.2, 5))
def test_auroc_hears_only_the_order_of_scores(examples, power):
    scores = np.array([score / 100 for score, _ in examples])
    labels = np.array([int(label) for _, label in examples])
    bent = scores**power
    assert values(both(scores), labels)["auroc"] == values(both(bent), labels)["auroc"]


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=20))
def test_auroc_is_the_share_of_pairs_in_order(examples):
    positive = [score for score, label in examples if label]
    negative = [score for score, label in examples if not label]
    pairs = [(p > n) + (p == n) / 2 for p in positive for n in negative]
    found = values(both(np.array([score / 4 for score, _ in examples])), np.array([int(lab) for _, lab in examples]))
    assert found["auroc"] == (pytest.approx(np.mean(pairs)) if pairs else None)


def both(scores: np.ndarray) -> np.ndarray:
    return np.stack([1 - scores, scores], axis=1)


def test_a_constant_prediction_is_chance():
    found = values(np.tile([0.7, 0.3], (10, 1)), np.array([0] * 8 + [1] * 2))
    assert (found["accuracy"], found["balanced_accuracy"], found["auroc"]) == (0.8, 0.5, 0.5)
    # F1 of class 0: 16 / (16 + 2); of class 1: 0.
    assert found["weighted_f1"] == pytest.approx(0.8 * 16 / 18)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_missing_class_leaves_only_auroc_undefined(classes):
    probabilities = np.full((6, classes), 1 / classes)
    found = classification_metrics(probabilities, np.zeros(6, dtype=int))
    assert found.pop("auroc") == Estimate(None, 6, None, None)
    assert found["balanced_accuracy"].value == 1
    assert all(figure.value is not None and figure.interval is not None for figure in found.values())


def test_no_example_has_no_figure():
    found = classification_metrics(np.zeros((0, 2)), np.zeros(0, dtype=int))
    assert set(found.values()) == {Estimate(None, 0, None, None)}


def test_one_example_has_figures_without_uncertainty():
    found = classification_metrics(np.array([[0.25, 0.75]]), np.array([1]))
    assert found["nll"] == Estimate(pytest.approx(-np.log(0.75)), 1, None, None)
    assert found["auroc"].value is None


@pytest.mark.parametrize(("dtype", "most"), [(np.float32, 23 * np.log(2)), (np.float64, 52 * np.log(2))])
def test_a_probability_rounded_to_nothing_is_not_infinitely_wrong(dtype, most):
    assert values(np.array([[1, 0]], dtype=dtype), np.array([1]))["nll"] == pytest.approx(most)


def test_standard_errors_are_those_of_theory():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=1000)
    # Scores of two normals one apart: AUROC = Phi(1/sqrt 2) = .76.
    scores = 1 / (1 + np.exp(-(rng.normal(size=1000) + labels)))
    found = classification_metrics(both(scores), labels)
    accuracy, area = found["accuracy"], found["auroc"]
    assert accuracy.standard_error == pytest.approx(np.sqrt(accuracy.value * (1 - accuracy.value) / 1000), rel=0.07)
    assert area.standard_error == pytest.approx(hanley_mcneil(area.value, labels.sum(), (1 - labels).sum()), rel=0.1)
    assert area.interval.low < area.value < area.interval.high


def hanley_mcneil(a: float, positives: int, negatives: int) -> float:
    """Hanley and McNeil 1982, equation 1."""
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    return np.sqrt(
        (a * (1 - a) + (positives - 1) * (q1 - a * a) + (negatives - 1) * (q2 - a * a)) / (positives * negatives)
    )


@pytest.mark.parametrize(
    ("probabilities", "labels", "match"),
    [
        (np.full(3, 0.5), np.zeros(3, int), "classes >= 2"),
        (np.ones((3, 1)), np.zeros(3, int), "classes >= 2"),
        (np.full((3, 2), 0.5), np.zeros(2, int), "classes >= 2"),
        (np.array([[np.nan, 0.5]]), np.zeros(1, int), r"in \[0, 1\]"),
        (np.array([[-0.5, 0.5]]), np.zeros(1, int), r"in \[0, 1\]"),
        (np.array([[1.5, 0.5]]), np.zeros(1, int), r"in \[0, 1\]"),
        (np.full((1, 2), 0.5), np.array([2]), "labels must be"),
        (np.full((1, 2), 0.5), np.array([-1]), "labels must be"),
    ],
)
def test_refuses_what_is_no_prediction(probabilities, labels, match):
    with pytest.raises(ValueError, match=match):
        classification_metrics(probabilities, labels)


def test_a_probability_that_rounding_pushed_past_one_has_no_negative_loss():
    found = PER_EXAMPLE["nll"](np.array([[1 + 5e-6, 0.0], [0.0, 1 + 5e-6]]), np.array([0, 1]))
    assert (found == 0).all()
