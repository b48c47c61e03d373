from __future__ import annotations

import numpy as np

from w2s_evaluator.monitor.seen import SeenIds


def known(seen, *hashes):
    return seen.known(np.array(hashes, dtype=np.uint64)).tolist()


def test_what_was_seen_is_known_and_nothing_else():
    seen = SeenIds(80)
    assert known(seen, 0, 1) == [False, False]
    seen.add(range(0, 100, 2))
    assert known(seen, *range(100)) == [n % 2 == 0 for n in range(100)]
    assert known(seen, 2**64 - 1) == [False]


def test_the_horizon_is_kept_and_little_more():
    seen = SeenIds(800)
    hashes = np.random.default_rng(0).integers(0, 2**63, 10_000, dtype=np.uint64)
    seen.add(hashes.tolist())
    assert known(seen, *hashes[-800:].tolist()) == [True] * 800
    assert not any(known(seen, *hashes[:-1000].tolist()))
