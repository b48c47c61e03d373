"""What docs/evaluator.md says runs, block after block, as one script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.guide import run_blocks

from w2s_cli.local import LocalServices

GUIDE = (Path(__file__).parents[2] / "docs" / "evaluator.md").read_text()

# The shared demo may run inside the first test.
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def services(demo):
    """The environment that the guide asks for: the demo's services, up again with the demo's state."""
    with LocalServices(demo[0] / "services") as running:
        yield running.environment()


def test_the_guide_runs(services):
    printed = iter(run_blocks(GUIDE, services).splitlines())
    assert next(printed) == "['ceiling', 'confidence', 'naive', 'weak']"
    assert re.fullmatch(r"accuracy 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\] of \d+", next(printed))
    assert [next(printed).split()[0] for _ in range(6)] == [
        "balanced_accuracy",
        "weighted_f1",
        "auroc",
        "nll",
        "brier",
        "ece",
    ]
    assert re.fullmatch(r"PGR_STATUS_[A-Z_]+ \d+", next(printed))
    assert re.fullmatch(r"agreement [01]\.\d{3}, p [01]\.\d{3}", next(printed))
    areas = [next(printed) for _ in range(4)]
    assert len({area.split(":")[0] for area in areas}) == 4
    assert re.fullmatch(r"base rate [01]\.\d{3} of \d+", next(printed))
    assert next(printed) == "40 accepted, 40 sampled, 0 shed"
    assert next(printed) == "40 beside True, 40 with a truth"
    assert re.fullmatch(r"accuracy [01]\.\d{3}, disagreement [01]\.\d{3}", next(printed))
