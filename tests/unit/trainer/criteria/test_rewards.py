from __future__ import annotations

import numpy as np
import pytest
import torch

FIRST, SECOND = np.array([1.0, -0.5, 0.3, 2.0]), np.array([0.0, 0.5, 0.3, -1.0])
Q = np.array([0.8, 0.9, 0.5, 0.1])
D = FIRST - SECOND
OUTPUTS = torch.tensor(np.concatenate([FIRST, SECOND])[:, None], dtype=torch.float32)
TARGETS = {"preferences": torch.tensor(Q, dtype=torch.float32), "truth": torch.tensor([0, 0, 1, 1])}


def log_sigmoid(x):
    return -np.log1p(np.exp(-x))


def terms(found):
    return {name: values.tolist() for name, values in found.terms(OUTPUTS, TARGETS, 0.0).items()}


@pytest.mark.parametrize(("harden", "q"), [(False, Q), (True, np.array([1, 1, 1, 0]))])
def test_a_loss_is_bradley_terrys(criterion_of, harden, q):
    found = terms(criterion_of(reward_modeling={"harden": harden, "margin": 0.5, "centering": 0.1}))
    expected = 0.1 * (FIRST + SECOND) ** 2 - q * log_sigmoid(D - 0.5) - (1 - q) * log_sigmoid(-D - 0.5)
    assert list(found) == ["bradley_terry"]
    assert found["bradley_terry"] == pytest.approx(expected, rel=1e-5)


def test_a_conflict_rewards_rows_that_are_wrong_by_ground_truth(criterion_of):
    # Of the first completions the second row's is behind though it is preferred, and those of the last
    # two rows are not behind though the second ones are preferred.
    found = terms(criterion_of(reward_modeling={"conflict": {"weight": 0.7}}))
    wrong, reversed_margin = np.array([0, 1, 1, 1]), np.array([-1, 1, 0, 3])
    assert found["conflict"] == pytest.approx(-0.7 * wrong * log_sigmoid(reversed_margin), rel=1e-5)
    assert found["bradley_terry"] == terms(criterion_of(reward_modeling={}))["bradley_terry"]


def test_measures_are_of_what_labels_and_ground_truth_prefer(criterion_of):
    found = criterion_of(reward_modeling={}).measures(OUTPUTS, TARGETS)
    assert found["label_accuracy"].tolist() == [1, 0, 0.5, 0]
    assert found["truth_accuracy"].tolist() == [1, 0, 0.5, 0]
    assert found["reward_margin"].tolist() == pytest.approx([1, -1, 0, -3])
    other = criterion_of(reward_modeling={}).measures(OUTPUTS, {**TARGETS, "truth": torch.tensor([1, 1, 0, 0])})
    assert other["truth_accuracy"].tolist() == [0, 1, 0.5, 1]


def test_rows_weigh_the_same(criterion_of):
    assert criterion_of(reward_modeling={}).weights(TARGETS).tolist() == [1, 1, 1, 1]
