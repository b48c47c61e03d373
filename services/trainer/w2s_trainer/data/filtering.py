"""Which examples a confidence filter keeps."""

from __future__ import annotations

from torch import Tensor

from w2s.errors import InvalidArgument
from w2s.objectives import high_confidence, oracle_high_confidence
from w2s_trainer.spec import ConfidenceFilter


def confident_rows(targets: Tensor, truth: Tensor | None, settings: ConfidenceFilter) -> list[int]:
    """The rows that the filter keeps, rising.

    Args:
        targets: Weak labels, shape [N, C].
        truth: True classes, shape [N], int64; an oracle filter reads them.
        settings: The filter.

    Raises:
        InvalidArgument: No row is left, or an oracle has no ground truth.
    """
    if not settings.oracle:
        kept = high_confidence(targets, settings.threshold)
    elif truth is None:
        raise InvalidArgument("filter.oracle", "needs a dataset with ground truth")
    else:
        kept = oracle_high_confidence(targets, truth, settings.threshold)
    if not bool(kept.any()):
        raise InvalidArgument("filter.threshold", f"leaves none of {len(targets)} examples; lower it")
    rows: list[int] = kept.nonzero()[:, 0].tolist()
    return rows
