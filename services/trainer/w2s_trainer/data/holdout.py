"""Which examples are held out from training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from w2s.errors import InvalidArgument


def holdout(ids: Sequence[str], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Splits examples by a hash of their ids, so that their order does not matter.

    Args:
        ids: Distinct example ids, length N >= 2.
        fraction: The share that is held out, in (0, 1).
        seed: Seeds the hash.

    Returns:
        The rows to train on and the rows held out, both rising; of the latter round(fraction N),
        at least 1 and at most N - 1.

    Raises:
        InvalidArgument: There is nothing to hold out.
    """
    if len(ids) < 2:
        raise InvalidArgument("early_stopping", f"needs 2 examples or more to hold one out, and there is {len(ids)}")
    count = min(max(round(fraction * len(ids)), 1), len(ids) - 1)
    order = sorted(range(len(ids)), key=lambda row: hashlib.sha256(f"{seed}:{ids[row]}".encode()).digest())
    return sorted(order[count:]), sorted(order[:count])
