from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch

from w2s.models.tensor_cache import TensorCache

VECTORS = torch.tensor([[1.0, -2.0], [0.5, 0.0]])
SIZE = 128 + 16  # numpy's header, and four numbers
HAMMER = """
import sys, torch
from pathlib import Path
from w2s.models.tensor_cache import TensorCache
cache = TensorCache(Path(sys.argv[1]), max_bytes=5 * 144)
for n in range(600):
    cache.put(str(n % 20), torch.full((2, 2), float(n % 20)))
    cache.prune()
    found = cache.get(str(7 * n % 20))
    assert found is None or torch.equal(found, torch.full((2, 2), float(7 * n % 20)))
"""


@pytest.fixture
def cache(tmp_path):
    return TensorCache(tmp_path, max_bytes=2 * SIZE)


@pytest.fixture
def entries(tmp_path):
    return lambda: {path.stem for path in tmp_path.iterdir()}


def test_what_is_put_is_got(cache):
    assert cache.get("key") is None
    cache.put("key", VECTORS)
    assert torch.equal(cache.get("key"), VECTORS)


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01\x00", b"not an array"])
def test_a_damaged_entry_is_a_miss_that_can_be_put_again(cache, tmp_path, damage):
    cache.put("key", VECTORS)
    (tmp_path / "key.npy").write_bytes(damage)
    assert cache.get("key") is None
    cache.put("key", VECTORS)
    assert torch.equal(cache.get("key"), VECTORS)


def test_a_pickle_in_the_folder_is_not_loaded(cache, tmp_path):
    np.save(tmp_path / "key.npy", np.array([{"any": "object"}], dtype=object), allow_pickle=True)
    assert cache.get("key") is None


def test_pruning_removes_what_was_used_longest_ago(cache, tmp_path, entries):
    for age, key in enumerate(["new", "middle", "old"]):
        cache.put(key, VECTORS)
        os.utime(tmp_path / f"{key}.npy", (1000 - age, 1000 - age))
    cache.get("old")
    cache.prune()
    assert entries() == {"old", "new"}


def test_what_a_killed_writer_left_goes_and_what_is_being_written_stays(cache, tmp_path, entries):
    for name in (".left", ".under-way"):
        (tmp_path / name).write_bytes(bytes(3 * SIZE))
    os.utime(tmp_path / ".left", (1000, 1000))
    cache.put("a", VECTORS)
    cache.prune()
    assert entries() == {"a", ".under-way"}


def test_a_write_that_fails_says_why_and_leaves_nothing(cache, entries):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE - 8, limits[1]))
    try:
        with pytest.raises(OSError, match="too large") as raised:
            cache.put("key", VECTORS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.errno == errno.EFBIG
    assert entries() == set()


def test_processes_that_put_and_prune_at_once_do_not_disturb_each_other(tmp_path):
    both = [subprocess.Popen([sys.executable, "-c", HAMMER, tmp_path]) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 5 * SIZE
