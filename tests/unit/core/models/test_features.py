from __future__ import annotations

import pytest
import torch

from w2s.models.features import FeatureCache

CPU = torch.device("cpu")


def tokens(*ids: int, **more) -> dict:
    return {"input_ids": list(ids), **more}


@pytest.fixture
def cache(tmp_path):
    return FeatureCache(tmp_path)


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
    assert cache.key(fingerprint, batch, CPU, torch.float32) != cache.key(
        "body", [tokens(1, 2), tokens(3)], CPU, torch.float32
    )
    assert cache.key(fingerprint, batch, CPU, torch.float32) == cache.key(fingerprint, batch, CPU, torch.float32)


def test_the_key_tells_apart_what_computes(cache):
    # The second GPU of a machine computes as the first one does.
    devices = [CPU, torch.device("cuda", 0), torch.device("cuda", 1)]
    dtypes = [torch.float32, torch.bfloat16]
    keys = {(d, t): cache.key("body", [tokens(1)], d, t) for d in devices for t in dtypes}
    assert len(set(keys.values())) == 4
    assert keys[devices[1], torch.float32] == keys[devices[2], torch.float32]
