"""The rule files by Prometheus' own tool: their syntax, and each alert's firing and silent cases."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.prometheus import RULES

CASES = sorted((Path(__file__).parent / "rules").glob("*_test.yaml"))


def promtool(*arguments):
    ended = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_rules_are_well_formed():
    promtool("check", "rules", *RULES.glob("*.yaml"))


@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_rules_fire_and_are_silent_as_their_cases_say(cases):
    promtool("test", "rules", cases)
