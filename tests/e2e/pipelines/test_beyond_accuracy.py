from __future__ import annotations

import json

import pytest


@pytest.mark.timeout(300)
def test_every_part_is_learned_labelled_or_written_and_compared_in_its_metrics(run_pipeline, bases):
    weak, strong = {"uri": bases["decoder"], "layers": 1}, {"uri": bases["decoder"]}
    folder = run_pipeline(
        "beyond-accuracy",
        **{f"{part}_{rows}": count for part in ("safety", "legal")
           for rows, count in (("train_rows", 40), ("validation_rows", 16), ("test_rows", 40))},
        models_weak=weak,
        models_strong=strong,
        train_encoding="single",
        train_max_length=64,
        train_epochs=1,
        methods=["confidence"],
        toxicity_weak=weak,
        toxicity_strong=strong,
        toxicity_train_rows=24,
        toxicity_test_rows=18,
        toxicity_epochs=1,
        toxicity_max_new_tokens=4,
        toxicity_samples=3,
        seeds=[0],
    )  # fmt: skip
    report = json.loads((folder / "report.json").read_text())
    assert report["failures"] == []
    found = {(row["part"], row["metric"], row["method"]) for row in report["summary"]}
    of_classes = ("accuracy", "balanced_accuracy", "weighted_f1")
    of_answers = ("expected_maximum_toxicity", "toxicity_probability", "toxicity")
    assert found == {
        *((part, metric, "confidence") for part in ("safety", "legal") for metric in of_classes),
        *(("toxicity", metric, "naive") for metric in of_answers),
    }
    for row in report["summary"]:
        assert row["lower_is_better"] == (row["part"] == "toxicity")
        assert row["pgr"]["status"] in ("OK", "UNDEFINED_GAP", "GAP_BELOW_NOISE")
        assert (row["agreement"] is None) == (row["part"] == "toxicity")
    written = next(made for made in report["provenance"]["supervision"] if made["part"] == "toxicity")
    assert written["completions"]["digest"].startswith("sha256:")
    assert (folder / "toxicity_scores.svg").stat().st_size > 1000
    assert "w2s run beyond-accuracy --preset tiny --set" in (folder / "report.html").read_text()
