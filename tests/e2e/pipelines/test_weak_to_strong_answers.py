from __future__ import annotations

import json

import pytest


@pytest.mark.timeout(300)
def test_answers_go_through_a_model_between(run_pipeline, bases):
    folder = run_pipeline(
        "weak-to-strong-answers",
        data_task="chess_puzzles",
        data_train_rows=8,
        data_test_rows=40,
        models_weak=[{"uri": bases["decoder"], "layers": 1}],
        models_strong=[{"uri": bases["decoder"]}],
        method_bootstrapping_models=[{"uri": bases["decoder"], "layers": 1, "learning_rate": 0.02}],
        train_max_length=512,
        train_learning_rate=0.01,
        write_max_new_tokens=4,
        seeds=[0],
    )
    report = json.loads((folder / "report.json").read_text())
    assert report["metric"] == "move"
    methods = {row["method"] for row in report["summary"]} | {row["method"] for row in report["failures"]}
    assert methods == {"naive", "bootstrapping"}
    assert report["summary"], report["failures"]
    for row in report["failures"]:
        assert row["reason"].endswith("wrote nothing to learn from")
    weak, naive = report["provenance"]["ground_truth"][0]["model"], report["provenance"]["students"][0]["model"]
    assert weak["digest"] != naive["digest"]
