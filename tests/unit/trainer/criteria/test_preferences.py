from __future__ import annotations

import numpy as np
import pytest
import torch

# The last pair is a tie by sums, and the third one the other way by means than by sums.
CHOSEN, REJECTED = np.array([-4.0, -9.0, -6.0, -5.0]), np.array([-6.0, -3.0, -5.0, -5.0])
COUNTS = np.array([[2, 3], [3, 2], [4, 2], [5, 5]])
REFERENCE = np.array([[-5.0, -5.0], [-8.0, -4.0], [-7.0, -3.0], [-5.0, -5.0]])
CORRECT = np.array([True, False, False, True])
OUTPUTS = torch.tensor(np.concatenate([CHOSEN, REJECTED]), dtype=torch.float32)
TARGETS = {
    "counts": torch.tensor(COUNTS, dtype=torch.float32),
    "correct": torch.tensor(CORRECT),
    "reference": torch.tensor(REFERENCE, dtype=torch.float32),
}
MEANS = np.stack([CHOSEN, REJECTED], axis=1) / COUNTS
# By means the student prefers the chosen one of pairs 1, 3 and 4; the ground truth that of 1 and 4.
WRONG_BY_MEANS = np.array([0, 0, 1, 0])
REVERSE, SFT = {"weight": 0.7}, {"weight": 0.7, "term": "CONFLICT_TERM_SFT"}


def loss(x):
    """-log of the logistic function."""
    return np.log1p(np.exp(-x))


def margin(pairs):
    return pairs[:, 0] - pairs[:, 1]


def terms(found, targets=TARGETS):
    return {name: values.numpy() for name, values in found.terms(OUTPUTS, targets, 0.0).items()}


SUM_MARGIN = CHOSEN - REJECTED - margin(REFERENCE)
MEAN_MARGIN = margin(MEANS) - margin(REFERENCE / COUNTS)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, loss(0.1 * SUM_MARGIN)),
        ({"beta": 0.5, "label_smoothing": 0.2}, 0.8 * loss(0.5 * SUM_MARGIN) + 0.2 * loss(-0.5 * SUM_MARGIN)),
        ({"length_normalized": True}, loss(5 * MEAN_MARGIN)),
        ({"length_normalized": True, "beta": 2}, loss(2 * MEAN_MARGIN)),
    ],
)
def test_dpo_compares_with_the_reference(criterion_of, settings, expected):
    found = terms(criterion_of(dpo=settings))
    assert list(found) == ["dpo"]
    np.testing.assert_allclose(found["dpo"], expected, rtol=1e-5)


def test_dpo_adds_fine_tuning_on_the_chosen_one(criterion_of):
    found = terms(criterion_of(dpo={"sft_weight": 0.3}))
    assert list(found) == ["dpo", "sft"]
    np.testing.assert_allclose(found["sft"], -0.3 * CHOSEN / COUNTS[:, 0], rtol=1e-6)


@pytest.mark.parametrize("correct", [CORRECT, ~CORRECT])
@pytest.mark.parametrize("by_means", [False, True])
@pytest.mark.parametrize("term", [REVERSE, SFT])
def test_a_conflict_of_dpo_counts_where_the_policy_alone_is_wrong(criterion_of, correct, by_means, term):
    policy = MEANS if by_means else np.stack([CHOSEN, REJECTED], axis=1)
    reference = REFERENCE / COUNTS if by_means else REFERENCE
    wrong = (margin(policy) >= 0) != correct
    away = np.where(correct, -1, 1) * (margin(policy) - margin(reference))
    worse = np.where(correct, MEANS[:, 1], MEANS[:, 0])
    expected = 0.7 * wrong * (loss(0.1 * away) if term is REVERSE else -worse)
    settings = {"beta": 0.1, "length_normalized": by_means, "conflict": term}
    found = terms(criterion_of(dpo=settings), {**TARGETS, "correct": torch.tensor(correct)})
    assert list(found) == ["dpo", "conflict"]
    np.testing.assert_allclose(found["conflict"], expected, rtol=1e-5)


def test_simpo_compares_means(criterion_of):
    found = terms(criterion_of(simpo={"beta": 2.5, "gamma": 0.5}))
    assert list(found) == ["simpo"]
    np.testing.assert_allclose(found["simpo"], loss(2.5 * margin(MEANS) - 0.5), rtol=1e-5)


@pytest.mark.parametrize("term", [REVERSE, SFT])
def test_a_conflict_of_simpo_counts_where_the_means_are_wrong(criterion_of, term):
    # Pair 3: the chosen one is ahead, though the ground truth prefers the rejected one.
    expected = WRONG_BY_MEANS * 0.7 * (loss(2 * margin(MEANS) - 1) if term is REVERSE else -MEANS[:, 0])
    found = terms(criterion_of(simpo={"conflict": term}))
    assert list(found) == ["simpo", "conflict"]
    np.testing.assert_allclose(found["conflict"], expected, rtol=1e-5)


def test_orpo_fine_tunes_and_compares_odds(criterion_of):
    p = np.exp(MEANS)
    found = terms(criterion_of(orpo={"weight": 0.3}))
    assert list(found) == ["sft", "odds_ratio"]
    np.testing.assert_allclose(found["sft"], -MEANS[:, 0], rtol=1e-6)
    np.testing.assert_allclose(found["odds_ratio"], 0.3 * loss(margin(np.log(p / (1 - p)))), rtol=1e-5)


ODDS = np.log(np.exp(MEANS) / (1 - np.exp(MEANS)))


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ({"dpo": {"beta": 0.5}}, 0.5 * SUM_MARGIN),
        ({"dpo": {"length_normalized": True}}, 5 * MEAN_MARGIN),
        ({"simpo": {"gamma": 3}}, 2 * margin(MEANS)),
        ({"orpo": {}}, margin(ODDS)),
    ],
)
def test_measures_are_of_the_rewards_that_the_loss_compares(criterion_of, objective, expected):
    found = {name: values.numpy() for name, values in criterion_of(**objective).measures(OUTPUTS, TARGETS).items()}
    ahead = (np.sign(expected) + 1) / 2
    np.testing.assert_allclose(found["reward_margin"], expected, rtol=1e-5)
    np.testing.assert_array_equal(found["label_accuracy"], ahead)
    np.testing.assert_array_equal(found["truth_accuracy"], np.where(CORRECT, ahead, 1 - ahead))
    np.testing.assert_allclose(found["nll"], -CHOSEN / COUNTS[:, 0], rtol=1e-6)


def test_pairs_weigh_the_same(criterion_of):
    assert criterion_of(dpo={}).weights(TARGETS).tolist() == [1, 1, 1, 1]
