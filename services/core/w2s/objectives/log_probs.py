"""Log-probabilities of tokens from hidden states, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from w2s.objectives.precision import full_precision

# Hidden states [P, H] to logits [P, V]: a language model's output layer.
Head = Callable[[Tensor], Tensor]


def token_log_probs(hidden: Tensor, ids: Tensor, mask: Tensor, head: Head, chunk: int) -> Tensor:
    """Log-probabilities of the tokens of a batch, each given those before it.

    log p(y_t | y_<t) for t = 1 .. T-1

    The head reads only the positions that predict a token of the mask, so prompts and
    padding cost nothing and cannot matter.

    Args:
        hidden: Last hidden states, shape [B, T, H].
        ids: Token ids, shape [B, T], int64.
        mask: Which tokens count: those of the completions, shape [B, T], bool or 0 and 1.
            Nothing predicts the first token; it never counts.
        head: The output layer.
        chunk: As `chunked_log_probs` takes it.

    Returns:
        Shape [B, T-1], fp32, in nats, for ids[:, 1:] and mask[:, 1:]; 0 outside the mask.
    """
    counted = mask[:, 1:].bool()
    found = chunked_log_probs(hidden[:, :-1][counted], ids[:, 1:][counted], head, chunk)
    return found.new_zeros(counted.shape).masked_scatter(counted, found)


def chunked_log_probs(hidden: Tensor, targets: Tensor, head: Head, chunk: int) -> Tensor:
    """Log-probabilities of one token for each hidden state, from some of them at a time.

    log softmax(head(h_n))[y_n]

    No more than `chunk` x V logits exist at once, in the forward pass or in the backward
    pass, which computes them again. Peak memory is about three times that in fp32.

    Args:
        hidden: Hidden states h, shape [N, H].
        targets: The tokens y, shape [N], int64, in [0, V).
        head: The output layer. It treats each position on its own, and without chance.
        chunk: How many positions to take at a time, >= 1. With no more of them than that,
            nothing is computed again.

    Returns:
        Shape [N], fp32, in nats; gradients reach `hidden` and the head's parameters.
    """
    if len(hidden) <= chunk:
        return _log_probs(hidden, targets, head)
    found: list[Tensor] = [
        checkpoint(_log_probs, h, y, head, use_reentrant=False, preserve_rng_state=False)
        for h, y in zip(torch.split(hidden, chunk), torch.split(targets, chunk), strict=True)
    ]
    return torch.cat(found)


def _log_probs(hidden: Tensor, targets: Tensor, head: Head) -> Tensor:
    return torch.log_softmax(full_precision(head(hidden)), dim=-1).gather(-1, targets[:, None])[:, 0]
