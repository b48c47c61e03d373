"""Results travel by reference, whatever their size, and arrive as they were."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pipelines.steps.handover import hand_over, received

RESULT = {"of": {"seed": 0, "method": "naive"}, "status": "succeeded", "evaluation": {"accuracy": 0.85, "n": 600}}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """The artifact store's, as a step finds it."""
    monkeypatch.setenv("W2S_ARTIFACT_ROOT", str(tmp_path))
    return tmp_path


def test_results_arrive_as_they_were_and_in_their_order():
    first, second = RESULT, {"of": {"seed": 1}, "status": "failed", "reason": "kaputt — é"}
    assert received([hand_over(second), hand_over(first)]) == [second, first]
    assert received([]) == []


def test_a_retried_step_hands_the_same_over():
    assert hand_over(RESULT) == hand_over(dict(reversed(RESULT.items())))


def test_a_result_that_was_changed_is_refused(root, capsys):
    reference = hand_over(RESULT)
    (file,) = root.glob("results/*/result.json")
    file.write_text(file.read_text().replace("0.85", "0.95"))
    with pytest.raises(SystemExit):
        received([reference])
    assert "do not match its manifest" in capsys.readouterr().out


def test_six_hundred_references_fit_into_one_argument_and_results_do_not():
    result = RESULT | {"reliability": [{"confidence": 0.5, "accuracy": 0.5, "n": n} for n in range(40)]}
    reference = hand_over(result) | {"uri": "s3://bucket-of-a-research-group/w2s/results/" + "0" * 32}

    def starts(inputs):
        return subprocess.run([sys.executable, "-S", "-c", "", json.dumps(inputs)], check=True)

    starts([reference] * 600)
    with pytest.raises(OSError, match="Argument list too long"):
        starts([result] * 600)
