from __future__ import annotations

import pytest

from w2s.gpus import visible_gpus


@pytest.mark.parametrize(
    ("variable", "names"),
    [
        ("", ()),
        ("0", ("0",)),
        ("2, 3", ("2", "3")),
        ("1,-1,2", ("1",)),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("GPU-8932f937-d72c,MIG-1", ("GPU-8932f937-d72c", "MIG-1")),
    ],
)
def test_cuda_visible_devices_names_the_gpus(monkeypatch, variable, names):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert visible_gpus() == names
