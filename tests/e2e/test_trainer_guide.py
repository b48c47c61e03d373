"""What docs/trainer.md says runs, block after block, as one script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.guide import metrics_named, run_blocks
from prometheus_client import CollectorRegistry

from w2s_cli.local import LocalServices
from w2s_trainer.metrics import TrainerMetrics

GUIDE = (Path(__file__).parents[2] / "docs" / "trainer.md").read_text()

# The shared demo may run inside the first test, and SmolLM2 loads in the guide.
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def trainer(demo):
    """The environment that the guide asks for: the demo's trainer, up again with the demo's state."""
    services = LocalServices(demo[0] / "services")
    try:
        yield {"W2S_TRAINER_ADDRESS": services.start("trainer").grpc, "W2S_ARTIFACT_ROOT": services.artifact_root}
    finally:
        services.stop()


def test_the_guide_runs(trainer):
    printed = run_blocks(GUIDE, trainer).splitlines()
    stages = list(dict.fromkeys(line.split()[0] for line in printed if re.fullmatch(r"[a-z]+ \d+", line)))
    assert stages == ["load", "reference", "train", "evaluate", "save"]
    assert re.fullmatch(r"JOB_STATE_SUCCEEDED sha256:[0-9a-f]{64} 8", printed[-2])
    assert printed[-1] == "1 dpo"


def test_the_metrics_it_names_are_those_there_are():
    registry = CollectorRegistry()
    TrainerMetrics(registry)
    assert metrics_named(GUIDE, "w2s_trainer") == {metric.name for metric in registry.collect()}
