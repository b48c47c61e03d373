from __future__ import annotations

import pytest
import torch

SUMS = torch.tensor([-6.0, -2.0, -10.0])
TARGETS = {"counts": torch.tensor([3.0, 1.0, 4.0])}
BY_COMPLETION = {"sft": {"averaging": "AVERAGING_COMPLETIONS"}}


@pytest.mark.parametrize("objective", [{"sft": {}}, {"language_modeling": {}}])
def test_each_token_weighs_the_same(criterion_of, mean_of, objective):
    found = criterion_of(**objective)
    assert found.weights(TARGETS).tolist() == [3, 1, 4]
    assert {name: values.tolist() for name, values in found.terms(SUMS, TARGETS, 0.0).items()} == {"nll": [6, 2, 10]}
    assert mean_of(found, SUMS, TARGETS, [[0], [1, 2]]).item() == pytest.approx(18 / 8)


def test_or_each_completion(criterion_of, mean_of):
    found = criterion_of(**BY_COMPLETION)
    assert found.weights(TARGETS).tolist() == [1, 1, 1]
    assert found.terms(SUMS, TARGETS, 0.0)["nll"].tolist() == [2, 2, 2.5]
    assert mean_of(found, SUMS, TARGETS, [[0], [1, 2]]).item() == pytest.approx(6.5 / 3)


@pytest.mark.parametrize("objective", [{"sft": {}}, BY_COMPLETION])
def test_what_is_measured_is_a_rows_mean_token(criterion_of, objective):
    found = criterion_of(**objective).measures(SUMS, TARGETS)
    assert {name: values.tolist() for name, values in found.items()} == {"nll": [2, 2, 2.5]}
