"""Outputs and targets of a batch, and how a loop adds up what a criterion makes of them."""

from __future__ import annotations

import pytest
import torch

from w2s_trainer.criteria import criterion
from w2s_trainer.spec import Objective


@pytest.fixture
def criterion_of():
    """A criterion by its settings: `criterion_of(dpo={"beta": 0.5})`."""

    def make(radius=None, **loss):
        return criterion(Objective.model_validate(loss), radius)

    return make


@pytest.fixture
def mean_of():
    """A loop's loss over micro-batches of rows: the sum of all terms over the sum of all weights."""

    def mean(found, outputs, targets, cuts, progress=0.0):
        rows = sum(map(len, cuts))
        prepared = {**targets, **(found.prepare(outputs.detach(), targets, progress) if found.whole_batch else {})}
        total = weight = 0
        for cut in cuts:
            micro = {name: values[cut] for name, values in prepared.items()}
            sequences = torch.cat([torch.tensor(cut) + first for first in range(0, len(outputs), rows)])
            total = total + sum(found.terms(outputs[sequences], micro, progress).values()).sum()
            weight = weight + found.weights(micro).sum()
        return total / weight

    return mean
