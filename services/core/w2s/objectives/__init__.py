"""Training objectives: pure functions from tensors to losses.

`cross_entropy`, `auxiliary_confidence_loss` and `token_mean_nll` are means. Every other loss
is a number for each row or pair, whose mean over the optimiser batch is the objective.
Gradients flow to the student's numbers, never to targets or to a reference's.
"""

from w2s.objectives.bradley_terry import bradley_terry_loss
from w2s.objectives.completions import mean_log_probs, sequence_mean_nll, sum_log_probs, token_mean_nll
from w2s.objectives.confidence import (
    auxiliary_confidence_loss,
    confidence_targets,
    harden_to_prior,
    linear_ramp,
    step_ramp,
)
from w2s.objectives.conflict import dpo_conflict, reward_conflict, sft_conflict, simpo_conflict, wrong
from w2s.objectives.cross_entropy import cross_entropy, harden, one_hot, row_cross_entropy
from w2s.objectives.dpo import dpo_loss, dpo_rewards
from w2s.objectives.log_probs import chunked_log_probs, token_log_probs
from w2s.objectives.orpo import log_odds, odds_ratio_loss, orpo_loss
from w2s.objectives.pairs import Pair
from w2s.objectives.product import product_loss, product_targets
from w2s.objectives.selection import high_confidence, oracle_high_confidence
from w2s.objectives.simpo import simpo_loss
from w2s.objectives.window import confidence_window_loss, median_radius

__all__ = [
    "Pair",
    "auxiliary_confidence_loss",
    "bradley_terry_loss",
    "chunked_log_probs",
    "confidence_targets",
    "confidence_window_loss",
    "cross_entropy",
    "dpo_conflict",
    "dpo_loss",
    "dpo_rewards",
    "harden",
    "harden_to_prior",
    "high_confidence",
    "linear_ramp",
    "log_odds",
    "mean_log_probs",
    "median_radius",
    "odds_ratio_loss",
    "one_hot",
    "oracle_high_confidence",
    "orpo_loss",
    "product_loss",
    "product_targets",
    "reward_conflict",
    "row_cross_entropy",
    "sequence_mean_nll",
    "sft_conflict",
    "simpo_conflict",
    "simpo_loss",
    "step_ramp",
    "sum_log_probs",
    "token_log_probs",
    "token_mean_nll",
    "wrong",
]
