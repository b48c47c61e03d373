from __future__ import annotations

import json

import pytest


@pytest.mark.timeout(300)
def test_an_experiment_whose_models_agree_on_nothing_still_reports(run_pipeline, bases):
    # Models of random weights state no answer, so full_weak alone trains; what needs agreement is not run.
    folder = run_pipeline(
        "weak-to-strong-reasoning",
        data_train_rows=12,
        data_test_rows=40,
        models_weak={"uri": bases["decoder"], "layers": 1},
        models_strong={"uri": bases["decoder"]},
        train_max_length=256,
        train_epochs=1,
        train_learning_rate=0.01,
        write_max_new_tokens=4,
        write_samples=3,
        stage_shots=1,
        stage_iterations=2,
        stage_arms=["full_weak", "hybrid"],
        preference_objectives=["dpo", "orpo"],
        preference_trust=0.0,
        preference_overrule=0.0,
        seeds=[0],
    )
    report = json.loads((folder / "report.json").read_text())
    methods = {row["method"] for row in report["summary"]} | {row["method"] for row in report["failures"]}
    assert methods >= {"full_weak", "hybrid", "dpo", "orpo"}
    assert "full_weak" in {row["method"] for row in report["summary"]}
    (first, *_) = report["selections"]
    assert first["questions"] >= 12
    assert first["coverage"] == first["selected"] / first["questions"]
    for row in report["failures"]:
        assert row["reason"] in ("no question was answered alike by both", "no question gave a pair")
