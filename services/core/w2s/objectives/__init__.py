"""Training objectives: pure functions from logits and targets to a scalar loss."""

from w2s.objectives.confidence import auxiliary_confidence_loss, harden_to_prior, linear_ramp
from w2s.objectives.cross_entropy import cross_entropy, harden

__all__ = [
    "auxiliary_confidence_loss",
    "cross_entropy",
    "harden",
    "harden_to_prior",
    "linear_ramp",
]
