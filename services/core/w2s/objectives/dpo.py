"""Direct preference optimisation, and its length-normalised variant."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from w2s.objectives.pairs import Pair
from w2s.objectives.precision import full_precision


def dpo_loss(policy: Pair, reference: Pair, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """Direct preference optimisation.

    L_i = -(1 - e) log s(z_i) - e log s(-z_i)
    z_i = beta [(S_pi(c) - S_ref(c)) - (S_pi(r) - S_ref(r))]

    Source: Rafailov et al. 2023, equation 7, with S the summed log-probabilities
    (`sum_log_probs`), which the deception paper trains with. Length-normalised DPO, of
    delta learning (Geng et al. 2025) and "Tulu 3", is the same with their means
    (`mean_log_probs`) of policy and reference. Smoothing: Mitchell 2023, "A note on DPO
    with noisy preferences", equation 3.

    Args:
        policy: Log-probabilities of the completions under the policy, in nats, each
            summed or each a mean.
        reference: The same under the reference; no gradient flows to it.
        beta: How closely the policy keeps to the reference, > 0; about 0.1 with sums, 5 to
            10 with means.
        label_smoothing: The share e of pairs taken to be labelled the wrong way, in [0, 0.5).

    Returns:
        Each pair's loss, shape [B], in nats, >= 0; the objective is their mean.
    """
    logits = beta * (policy.margin - reference.margin.detach())
    return -(1 - label_smoothing) * F.logsigmoid(logits) - label_smoothing * F.logsigmoid(-logits)


def dpo_rewards(policy: Pair, reference: Pair, beta: float) -> Pair:
    """The rewards that a policy implies, for their margins and accuracies in a log.

    r(y) = beta (S_pi(y) - S_ref(y))

    Source: Rafailov et al. 2023, section 5. The loss is -log s of their margin.

    Args:
        policy: As `dpo_loss` takes it.
        reference: As `dpo_loss` takes it.
        beta: As `dpo_loss` takes it.

    Returns:
        Rewards, shape [B] each, fp32, without gradient.
    """
    chosen, rejected = (
        beta * (full_precision(ours) - full_precision(theirs)).detach()
        for ours, theirs in zip(policy, reference, strict=True)
    )
    return Pair(chosen, rejected)
