from __future__ import annotations

import os

import pytest

from w2s_cli.run import default_slots


@pytest.mark.parametrize(
    ("gpus", "device", "cores", "slots"),
    [("0", "auto", 16, 1), ("0,1,2,3,4,5", "cuda", 2, 6), ("0", "cpu", 16, 4), ("", "auto", 2, 2), ("", "auto", 1, 1)],
)
def test_a_training_run_has_a_gpu_to_itself_and_on_a_cpu_a_core(monkeypatch, gpus, device, cores, slots):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    monkeypatch.setenv("W2S_DEVICE", device)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert default_slots() == slots
