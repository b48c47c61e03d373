from __future__ import annotations

import numpy as np
import pytest
import torch

from w2s.errors import InvalidArgument

LOGITS = np.array([[2.0, 0.0], [0.2, 0.0], [-1.0, 1.0], [0.0, 0.4]])
LABELS = np.array([[0.6, 0.4], [0.3, 0.7], [0.5, 0.5], [0.1, 0.9]])
P = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
TARGETS = {"targets": torch.tensor(LABELS, dtype=torch.float32), "truth": torch.tensor([1, 0, 1, 1])}


def cross_entropies(wanted):
    return -(wanted * np.log(P)).sum(axis=1)


def terms(found, progress=0.0):
    outputs = torch.tensor(LOGITS, dtype=torch.float32)
    prepared = found.prepare(outputs, TARGETS, progress)
    (name, values), *others = found.terms(outputs, {**TARGETS, **prepared}, progress).items()
    assert (name, others) == ("cross_entropy", [])
    return values.tolist()


def test_cross_entropy_to_soft_labels(criterion_of):
    assert terms(criterion_of(cross_entropy={})) == pytest.approx(cross_entropies(LABELS))


def test_cross_entropy_to_hardened_labels_of_which_the_first_wins_a_tie(criterion_of):
    hard = np.array([[1, 0], [0, 1], [1, 0], [0, 1]])
    assert terms(criterion_of(cross_entropy={"harden": True})) == pytest.approx(cross_entropies(hard))


@pytest.mark.parametrize(
    ("ramp", "progress", "alpha"),
    [
        ("RAMP_LINEAR", 0.0, 0.0),
        ("RAMP_LINEAR", 0.1, 0.3),
        ("RAMP_LINEAR", 0.7, 0.6),
        ("RAMP_STEP", 0.1, 0.06),
        ("RAMP_STEP", 0.7, 0.6),
    ],
)
def test_labels_are_mixed_with_the_students_own_as_the_ramp_says(criterion_of, ramp, progress, alpha):
    # The labels' shares are .375 and .625. The quantile .625 of the probabilities of class 0, sorted
    # P3 .119, P4 .401, P2 .550, P1 .881, is at 1.875, a little below P2: rows 1 and 2 are of class 0.
    own = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    found = criterion_of(auxiliary_confidence={"alpha_max": 0.6, "warmup_fraction": 0.2, "ramp": ramp})
    assert found.whole_batch
    expected = cross_entropies((1 - alpha) * LABELS + alpha * own)
    assert terms(found, progress) == pytest.approx(expected, rel=1e-5)


def test_labels_are_multiplied_with_the_students_probabilities(criterion_of):
    product = LABELS**0.5 * P**2
    product /= product.sum(axis=1, keepdims=True)
    found = criterion_of(product_confidence={"alpha": 0.5, "beta": 2.0})
    assert terms(found) == pytest.approx(cross_entropies(product), rel=1e-5)


@pytest.mark.parametrize(("own", "given"), [(0.2, None), (None, 0.2), (0.2, 0.4)])
def test_only_rows_that_the_student_is_unsure_of_count(criterion_of, own, given):
    # Confidences .881, .550, .881 and .599, against .5 + .2.
    found = criterion_of(radius=given, confidence_window={"radius": own})
    assert terms(found) == pytest.approx(cross_entropies(LABELS) * [0, 1, 0, 1])


def test_a_window_without_a_radius_is_refused(criterion_of):
    with pytest.raises(InvalidArgument, match=r"objective\.confidence_window\.radius"):
        criterion_of(confidence_window={})


def test_rows_weigh_the_same(criterion_of):
    assert criterion_of(cross_entropy={}).weights(TARGETS).tolist() == [1, 1, 1, 1]


def test_accuracies_are_against_labels_and_against_ground_truth(criterion_of):
    # Predictions are 0, 0, 1, 1; labels 0, 1, 0 and 1.
    found = criterion_of(auxiliary_confidence={}).measures(torch.tensor(LOGITS), TARGETS)
    assert {name: values.tolist() for name, values in found.items()} == {
        "label_accuracy": [1, 0, 0, 1],
        "truth_accuracy": [0, 1, 1, 1],
    }
