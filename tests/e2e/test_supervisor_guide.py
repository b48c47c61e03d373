"""What docs/supervisor.md says runs, block after block, as one script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.guide import metrics_named, run_blocks
from prometheus_client import CollectorRegistry

from w2s_supervisor.metrics import SupervisorMetrics

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "supervisor.md").read_text()

# The shared demo may run inside the first test, and SmolLM2 loads in the guide.
pytestmark = pytest.mark.timeout(400)


def test_the_guide_runs(supervisor):
    printed = run_blocks(GUIDE, {"W2S_SUPERVISOR_ADDRESS": supervisor})
    assert re.search(r"^teachers/smollm2 sha256:[0-9a-f]{64} \['ABILITY_COMPARE', 'ABILITY_GENERATE'", printed)
    stages = ["load", "gate", "flip", "drain"]
    assert [line for line in printed.splitlines() if line in stages] == stages
    # The demo's teacher is active again, and SmolLM2 still in memory.
    assert re.search(r"^\S+ TEACHER_STATE_LOADED $", printed, re.MULTILINE)
    label, blue = re.search(r"^([01]) \[0\.\d+, 0\.\d+\]\n(0\.\d+|1\.0)$", printed, re.MULTILINE).groups()
    assert label in "01"
    # A language model of any use knows that the sky is no cheese.
    assert float(blue) > 0.9
    assert re.search(r"'probabilities': \[\[", printed)


def test_the_metrics_it_names_are_those_there_are():
    registry = CollectorRegistry()
    SupervisorMetrics(registry)
    assert metrics_named(GUIDE, "w2s_supervisor") == {metric.name for metric in registry.collect()}
