from __future__ import annotations

import json

import pytest


@pytest.mark.timeout(300)
def test_every_method_learns_from_every_gap(run_pipeline, bases):
    weak = {"uri": bases["decoder"], "layers": 1}
    strong = {"uri": bases["decoder"]}
    folder = run_pipeline(
        "weak-to-strong",
        data_train_rows=48,
        data_validation_rows=16,
        data_test_rows=60,
        models_weak=[weak],
        models_strong=[strong],
        train_encoding="single",
        train_max_length=96,
        train_epochs=1,
        train_early_stopping="labels",
        methods=["naive", "confidence", "bootstrapping", "generative", "probe"],
        method_bootstrapping_models=[weak],
        seeds=[0],
    )
    report = json.loads((folder / "report.json").read_text())
    assert report["failures"] == []
    assert [row["method"] for row in report["summary"]] == [
        "naive", "confidence", "bootstrapping", "generative", "probe",
    ]  # fmt: skip
    for row in report["summary"]:
        assert row["examples"] == 60
        assert row["weak_interval"][0] <= row["weak_accuracy"] <= row["weak_interval"][1]
        assert row["pgr"]["status"] in ("OK", "UNDEFINED_GAP", "GAP_BELOW_NOISE")
    naive = next(curve for curve in report["curves"] if curve["method"] == "naive")
    assert {"loss", "eval_accuracy", "heldout_agreement"} <= set(naive["points"])
    assert (folder / "agreement.svg").stat().st_size > 1000
    assert "w2s run weak-to-strong --preset tiny --set" in (folder / "report.html").read_text()
