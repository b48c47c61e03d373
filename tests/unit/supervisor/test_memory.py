from __future__ import annotations

import math

import pytest
import torch

from w2s_supervisor.memory import cgroup_left, free_bytes


@pytest.fixture
def group(tmp_path):
    def make(limit, used, inactive):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        (tmp_path / "memory.current").write_text(f"{used}\n")
        (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {inactive - 100}\nactive_file 100\n")
        return tmp_path

    return make


def test_what_was_read_of_files_is_left_too(group):
    assert cgroup_left(group(1000, 900, 300)) == 400


@pytest.mark.parametrize("limit", ["max", None])
def test_without_a_limit_all_is_left(group, tmp_path, limit):
    folder = group(limit, 900, 300) if limit else tmp_path / "none"
    assert cgroup_left(folder) == math.inf


def test_some_memory_is_free_here():
    assert 0 < free_bytes(torch.device("cpu")) < 1 << 44
