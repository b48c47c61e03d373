"""The auxiliary confidence loss of "Weak-to-Strong Generalization"."""

from __future__ import annotations

import torch
from torch import Tensor

from w2s.objectives.cross_entropy import cross_entropy, harden
from w2s.objectives.precision import full_precision


def linear_ramp(progress: float, warmup_fraction: float) -> float:
    """Weight of the student's own predictions, relative to its maximum.

    g(s) = min(1, s / s_0)

    Source: Burns et al. 2023, appendix A.4: a linear warm-up over the first 20 % of
    training (s_0 = 0.2).

    Args:
        progress: Share of optimiser steps done, s, in [0, 1].
        warmup_fraction: The share s_0 over which the ramp rises, in [0, 1]; 0 is no ramp.

    Returns:
        A weight in [0, 1].
    """
    return 1.0 if warmup_fraction == 0 else min(1.0, progress / warmup_fraction)


def step_ramp(progress: float, warmup_fraction: float) -> float:
    """The ramp as it was published: from 0 to s_0 along s, then at once to 1.

    g(s) = 1 if s > s_0 else s

    Source: openai/weak-to-strong, loss.py, where s_0 = 0.1. The paper describes
    `linear_ramp`.

    Args:
        progress: Share of optimiser steps done, s, in [0, 1].
        warmup_fraction: The share s_0 after which the weight is 1, in [0, 1].

    Returns:
        A weight in [0, 1].
    """
    return 1.0 if progress > warmup_fraction else progress


def harden_to_prior(probabilities: Tensor, prior: Tensor, ties: Tensor) -> Tensor:
    """Hardens predictions so that the classes occur about as often as in the prior.

    Each class has a threshold at its prior quantile over the batch, and the class that
    clears its threshold by most wins:

        t_c = quantile_{1 - pi_c}({p_ic}_i),   h_i = onehot(argmax_c (p_ic - t_c))

    For two classes this is the published rule h_i = [1, 0] iff p_i0 >= quantile_{pi_1}(p_0)
    (openai/weak-to-strong, loss.py), exactly. Of more than two, a class that the prior
    gives nothing wins no row.

    Source: Burns et al. 2023, section 4.3.2 and appendix A.4 (a threshold for balanced
    binary data); the prior and more than two classes generalise it.

    Args:
        probabilities: Student probabilities p over the whole optimiser batch, shape [B, C].
        prior: Class shares pi, shape [C], summing to 1.
        ties: Distributions, shape [B, C], hardened in place of a batch of identical rows,
            which ranks nothing (a zero-initialised head).

    Returns:
        One-hot rows, shape [B, C], the dtype of `probabilities`.
    """
    if bool((probabilities == probabilities[0]).all()):
        return harden(ties).to(probabilities.dtype)
    prior = prior.to(probabilities.dtype)
    thresholds = torch.stack(
        [torch.quantile(p, (1 - pi).clamp(0, 1)) for p, pi in zip(probabilities.T, prior, strict=True)]
    )
    margins = probabilities - thresholds
    if probabilities.shape[-1] == 2:
        # p_1 - t_1 = -(p_0 - t_0) on paper; said so here, rounding cannot break the tie at p_0 = t_0.
        margins = torch.stack([margins[:, 0], -margins[:, 0]], dim=-1)
    else:
        # At a threshold of max p_c the highest row's margin is 0, which may be its best.
        margins = margins.masked_fill(prior == 0, -torch.inf)
    return harden(margins)


def confidence_targets(logits: Tensor, targets: Tensor, alpha: float) -> Tensor:
    """Weak labels mixed with the student's own hardened predictions.

    (1 - a) w + a h

    where h hardens softmax(z) at the weak labels' class prior in the batch
    (`harden_to_prior`). The thresholds belong to the whole optimiser batch. Where that
    does not fit in memory at once, a first pass without gradient gives its logits, this
    its targets, and a second pass the `cross_entropy` of each micro-batch to its rows of
    them: the same loss and gradient, as long as both passes see the same dropout.

    Args:
        logits: Student logits z of the whole optimiser batch, shape [B, C].
        targets: Weak soft labels w, shape [B, C], rows summing to 1.
        alpha: The weight a in [0, 1].

    Returns:
        Distributions, shape [B, C], fp32, without gradient.
    """
    own = torch.softmax(full_precision(logits.detach()), dim=-1)
    targets = targets.to(own.dtype)
    hardened = harden_to_prior(own, targets.mean(dim=0), ties=targets)
    return (1 - alpha) * targets + alpha * hardened


def auxiliary_confidence_loss(logits: Tensor, targets: Tensor, alpha: float) -> Tensor:
    """Cross-entropy to weak labels mixed with the student's own hardened predictions.

    L = (1 - a) CE(z, w) + a CE(z, h) = CE(z, (1 - a) w + a h)

    where h hardens softmax(z), without gradient, at the weak labels' class prior in the
    batch (`confidence_targets`).

    Source: Burns et al. 2023, section 4.3.2, equation 1.

    Args:
        logits: Student logits z of the whole optimiser batch, shape [B, C].
        targets: Weak soft labels w, shape [B, C], rows summing to 1.
        alpha: The weight a in [0, 1], usually alpha_max * linear_ramp(...).

    Returns:
        A scalar in nats, >= 0.
    """
    return cross_entropy(logits, confidence_targets(logits, targets, alpha))
