"""Which ids have been seen lately, in eight bytes each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_BLOCKS = 8


class SeenIds:
    """The hashes of the ids seen last: as many as the horizon at least, an eighth more at most.

    Args:
        horizon: How many, >= 8.
    """

    def __init__(self, horizon: int) -> None:
        self._size = -(-horizon // _BLOCKS)
        self._fresh: set[int] = set()
        self._blocks: deque[NDArray[np.uint64]] = deque(maxlen=_BLOCKS)

    def known(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of some hashes were seen, shape [N]."""
        found = np.fromiter((hash_ in self._fresh for hash_ in hashes.tolist()), np.bool_, len(hashes))
        for block in self._blocks:
            places = np.minimum(np.searchsorted(block, hashes), len(block) - 1)
            found |= block[places] == hashes
        return found

    def add(self, hashes: Iterable[int]) -> None:
        """Remembers hashes, and forgets the oldest beyond the horizon."""
        for hash_ in hashes:
            self._fresh.add(hash_)
            if len(self._fresh) >= self._size:
                self._blocks.append(np.sort(np.fromiter(self._fresh, np.uint64, len(self._fresh))))
                self._fresh = set()
