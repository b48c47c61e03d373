"""Completions: their log-probabilities, and fine-tuning on them."""

from __future__ import annotations

from torch import Tensor

from w2s.objectives.precision import full_precision


def sum_log_probs(log_probs: Tensor, mask: Tensor) -> Tensor:
    """Log-probabilities of whole completions.

    S_i = sum_{t in y_i} log p(y_it | x_i, y_i<t)

    Args:
        log_probs: Log-probabilities of tokens, shape [B, T]; what is outside the mask does
            not matter.
        mask: Which tokens are of the completion, shape [B, T], bool or 0 and 1.

    Returns:
        Shape [B], fp32, in nats.
    """
    return full_precision(log_probs).masked_fill(~mask.bool(), 0.0).sum(dim=-1)


def mean_log_probs(log_probs: Tensor, mask: Tensor) -> Tensor:
    """Log-probabilities of completions for each of their tokens.

    S_i / |y_i|

    Args:
        log_probs: As `sum_log_probs` takes them.
        mask: As `sum_log_probs` takes it.

    Returns:
        Shape [B], fp32, in nats a token; NaN for a completion without tokens.
    """
    return sum_log_probs(log_probs, mask) / mask.bool().sum(dim=-1)


def token_mean_nll(log_probs: Tensor, mask: Tensor, tokens: Tensor | int | None = None) -> Tensor:
    """Negative log-likelihood, each token of the batch weighing the same.

    L = -sum_i S_i / sum_i |y_i|

    Source: transformers' causal language modelling loss, with which Yang et al. 2024,
    "Weak-to-Strong Reasoning", train through LLaMA-Factory.

    Args:
        log_probs: Log-probabilities of tokens, shape [B, T].
        mask: Which tokens are of the completions, shape [B, T], bool or 0 and 1.
        tokens: How many tokens the mean is over. For a micro-batch that is how many the
            whole optimiser batch has, and the losses of its micro-batches add up to L.
            None for those of the mask.

    Returns:
        A scalar in nats a token, >= 0; NaN over no tokens.
    """
    return -sum_log_probs(log_probs, mask).sum() / (mask.bool().sum() if tokens is None else tokens)


def sequence_mean_nll(log_probs: Tensor, mask: Tensor) -> Tensor:
    """Negative log-likelihood, each completion weighing the same.

    L_i = -S_i / |y_i|

    Source: keven980716/weak-to-strong-deception, train.py (stage 1 before SimPO and DPO).

    Args:
        log_probs: Log-probabilities of tokens, shape [B, T].
        mask: Which tokens are of the completions, shape [B, T], bool or 0 and 1.

    Returns:
        Each completion's loss, shape [B], in nats a token, >= 0; the objective is their mean.
        NaN for a completion without tokens.
    """
    return -mean_log_probs(log_probs, mask)
