"""The GPU benchmark, in miniature, where nothing is installed but what it says it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# What the services need, and a machine for training need not have; None in sys.modules fails an import.
MISSING = [
    "alembic",
    "datasets",
    "google.protobuf",
    "grpc",
    "kubernetes",
    "prometheus_client",
    "pyarrow",
    "pydantic",
    "sqlalchemy",
]
SCRIPT = """
import sys
sys.modules.update(dict.fromkeys({missing}))
from pathlib import Path
from benchmarks import report
report.OUT = Path({out!r})
from benchmarks import trainer_gpu
trainer_gpu.main({arguments})
"""


@pytest.mark.parametrize("arguments", [["--tiny"], ["--tiny", "--lora", "dpo"]])
def test_the_script_needs_no_more_than_it_says_and_trains_by_the_loop(arguments, tmp_path):
    script = SCRIPT.format(missing=MISSING, out=str(tmp_path), arguments=arguments)
    path = os.pathsep.join(str(ROOT / part) for part in ("services/core", "services/trainer", "tests"))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "trainer_gpu_tiny.json").read_text())
    trained = "lora" if "--lora" in arguments else "full"
    assert f"dpo_{trained}_mfu" in found["ratios"]
    assert all(0 < ratio["value"] < 1 for ratio in found["ratios"].values())
    # Two equal policies before the first step: log 2.
    assert found["figures"][f"dpo_{trained}_first_loss"] == pytest.approx(0.6931, abs=1e-3)
