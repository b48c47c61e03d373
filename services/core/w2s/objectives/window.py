"""The confidence window: train only where the student is unsure."""

from __future__ import annotations

import torch
from torch import Tensor

from w2s.objectives.cross_entropy import row_cross_entropy
from w2s.objectives.precision import full_precision


def confidence_window_loss(logits: Tensor, targets: Tensor, radius: float) -> Tensor:
    """Cross-entropy to weak labels where the student's confidence is near chance.

    L_i = CE(z_i, w_i) if max_c softmax(z_i)_c < 1/C + r else 0

    Source: EleutherAI/w2s, loss.py, for two classes (the bound 0.5 + r). It says nothing
    of more; 1/C, the least confidence there is, takes the place of 0.5.

    Args:
        logits: Student logits z, shape [B, C], any floating dtype; computed in fp32.
        targets: Weak soft labels w, shape [B, C], rows summing to 1.
        radius: The radius r; 0.15 as published. At more than 1 - 1/C all rows count.

    Returns:
        Each row's loss, shape [B], in nats, >= 0; the objective is their mean over the
        whole batch, rows outside the window included.
    """
    confidence = torch.softmax(full_precision(logits.detach()), dim=-1).amax(dim=-1)
    unsure = confidence < 1 / logits.shape[-1] + radius
    return row_cross_entropy(logits, targets) * unsure


def median_radius(targets: Tensor) -> float:
    """The radius within which the weak supervisor is on half of its labels.

    r = median_i (max_c w_ic - 1/C), the lower of the two middle ones for even N

    Source: EleutherAI/w2s, sft.py ("midweak"), for two classes: median |w_i1 - 0.5|.

    Args:
        targets: All weak soft labels w of the training set, shape [N, C].
    """
    return float((full_precision(targets).amax(dim=-1) - 1 / targets.shape[-1]).median())
