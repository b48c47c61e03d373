from __future__ import annotations

import os

import pytest
import torch

from w2s.models.features import FeatureCache

VECTORS = torch.tensor([[1.0, -2.0], [0.5, 0.0]])


def tokens(*ids: int, **more) -> dict:
    return {"input_ids": list(ids), **more}


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path)


def test_what_is_put_is_got(cache):
    assert cache.get("key") is None
    cache.put("key", VECTORS)
    assert torch.equal(cache.get("key"), VECTORS)


@pytest.mark.parametrize(
    ("fingerprint", "batch"),
    [
        ("other", [tokens(1, 2), tokens(3)]),
        ("body", [tokens(1), tokens(2, 3)]),
        ("body", [tokens(3), tokens(1, 2)]),
        ("body", [tokens(1, 2), tokens(3), tokens(4)]),
        ("body", [tokens(1, 2, token_type_ids=[0, 1]), tokens(3, token_type_ids=[0])]),
    ],
    ids=["body", "boundaries", "order", "rows", "segments"],
)
def test_the_key_tells_apart(cache, fingerprint, batch):
    assert cache.key(fingerprint, batch) != cache.key("body", [tokens(1, 2), tokens(3)])
    assert cache.key(fingerprint, batch) == cache.key(fingerprint, batch)


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01\x00", b"not an array"])
def test_a_damaged_entry_is_a_miss_that_can_be_put_again(cache, tmp_path, damage):
    cache.put("key", VECTORS)
    (tmp_path / "key.npy").write_bytes(damage)
    assert cache.get("key") is None
    cache.put("key", VECTORS)
    assert torch.equal(cache.get("key"), VECTORS)


def test_a_pickle_in_the_folder_is_not_loaded(cache, tmp_path):
    import numpy as np

    np.save(tmp_path / "key.npy", np.array([{"any": "object"}], dtype=object), allow_pickle=True)
    assert cache.get("key") is None


def test_pruning_removes_what_was_used_longest_ago(tmp_path):
    cache = FeatureCache(tmp_path)
    for age, key in enumerate(["new", "middle", "old"]):
        cache.put(key, VECTORS)
        os.utime(tmp_path / f"{key}.npy", (1000 - age, 1000 - age))
    size = (tmp_path / "new.npy").stat().st_size
    cache.get("old")
    FeatureCache(tmp_path, max_bytes=2 * size).prune()
    assert {path.stem for path in tmp_path.iterdir()} == {"old", "new"}
