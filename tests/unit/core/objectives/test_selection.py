from __future__ import annotations

import torch

from w2s.objectives import high_confidence, oracle_high_confidence

# Preferences: .8 sure and right, .9 sure and wrong, .75 at the threshold, .6 unsure.
TARGETS = torch.tensor([[0.2, 0.8], [0.9, 0.1], [0.25, 0.75], [0.4, 0.6]])
TRUTH = torch.tensor([1, 1, 1, 1])


def test_sure_labels_are_kept_whatever_the_truth():
    assert high_confidence(TARGETS, 0.75).tolist() == [True, True, True, False]


def test_the_oracle_drops_what_is_wrong():
    assert oracle_high_confidence(TARGETS, TRUTH, 0.75).tolist() == [True, False, True, False]


def test_a_threshold_of_chance_keeps_everything():
    assert high_confidence(TARGETS, 0.5).all()
