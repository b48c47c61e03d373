from __future__ import annotations

import json

import pytest


@pytest.mark.timeout(300)
def test_every_arm_of_a_ladder(run_pipeline, bases):
    folder = run_pipeline(
        "delta-learning",
        data_warm_rows=16,
        data_train_rows=12,
        data_test_rows=40,
        models_teachers=[{"uri": bases["decoder"], "layers": 1}, {"uri": bases["decoder"]}],
        models_student={"uri": bases["decoder"]},
        train_max_length=256,
        write_max_new_tokens=6,
        arms=["delta", "reversed", "tied", "sft"],
        ladder=True,
        seeds=[0],
    )
    report = json.loads((folder / "report.json").read_text())
    assert [row["arm"] for row in report["changes"]] == ["delta", "reversed", "tied", "sft"]
    assert [base["role"] for base in report["bases"]] == ["teacher 1", "teacher 2", "student"]
    for row in report["changes"]:
        assert row["low"] <= row["change"] <= row["high"]
        assert row["rows"] + row["dropped"] >= 12
    assert report["failures"] == []


@pytest.mark.timeout(300)
def test_the_theory_needs_no_service(run_pipeline):
    folder = run_pipeline("delta-theory", space_dimensions=20, space_inputs=4000, seeds=[0])
    assert len(json.loads((folder / "report.json").read_text())["regimes"]) == 10
