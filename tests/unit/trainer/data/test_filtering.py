from __future__ import annotations

import pytest
import torch

from w2s.errors import InvalidArgument
from w2s_trainer.data import confident_rows
from w2s_trainer.spec import ConfidenceFilter

TARGETS = torch.tensor([[0.75, 0.25], [0.26, 0.74], [0.1, 0.9], [0.8, 0.2]])
TRUTH = torch.tensor([0, 1, 0, 0])


def test_confident_labels_are_kept_though_they_are_wrong():
    assert confident_rows(TARGETS, TRUTH, ConfidenceFilter()) == [0, 2, 3]
    assert confident_rows(TARGETS, None, ConfidenceFilter(threshold=0.85)) == [2]


def test_an_oracle_drops_what_is_wrong():
    assert confident_rows(TARGETS, TRUTH, ConfidenceFilter(oracle=True)) == [0, 3]


def test_what_cannot_be_filtered_is_refused():
    with pytest.raises(InvalidArgument, match=r"filter\.oracle"):
        confident_rows(TARGETS, None, ConfidenceFilter(oracle=True))
    with pytest.raises(InvalidArgument, match=r"filter\.threshold: leaves none of 4"):
        confident_rows(TARGETS, TRUTH, ConfidenceFilter(threshold=0.95))
